"""Finds the model to start from: the model channel, a folder, the Hub, or scratch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertForSequenceClassification,
    set_seed,
)

from byoc import contract
from byoc.training.config import SCRATCH, TrainingConfig
from byoc.training.faults import TrainingFault

HUB_TIMEOUT = 10.0
"""Seconds that one question to the Hub may take."""


def source(config: TrainingConfig) -> str:
    """``scratch``, a folder with a model, or a name on the Hub.

    Raises ``TrainingFault`` where nothing is there; asks the network at most once.
    """
    channel = contract.channel_dir("model")
    if channel.is_dir():
        return str(_model_folder(channel))
    name = config.model_name_or_path
    if name == SCRATCH:
        return name
    if Path(name).is_dir():
        return str(_model_folder(Path(name)))
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise TrainingFault(f"model-name-or-path: there is no folder {name}")
    _ask_hub(name)
    return name


def load(
    found: str, config: TrainingConfig, texts: Sequence[str], names: Sequence[str]
) -> tuple[Any, Any]:
    """(tokenizer, model with a classification head for ``names``); weights seeded.

    Raises ``TrainingFault`` where the source cannot be read as a safetensors encoder.
    """
    labels = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    set_seed(config.seed)
    if found == SCRATCH:
        from byoc.training.scratch import learn_tokenizer, tiny_config

        tokenizer = learn_tokenizer(texts)
        shape = tiny_config(tokenizer)
        shape.id2label, shape.label2id = labels["id2label"], labels["label2id"]
        return tokenizer, DistilBertForSequenceClassification(shape)
    try:
        tokenizer = AutoTokenizer.from_pretrained(found)
        # Safetensors only: a pickle in a model runs whatever it says.
        model = AutoModelForSequenceClassification.from_pretrained(
            found, use_safetensors=True, ignore_mismatched_sizes=True, **labels
        )
    except Exception as error:  # transformers raises nearly anything for a broken folder
        raise TrainingFault(f"cannot load the model {found}: {_first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        raise TrainingFault(f"the tokenizer of {found} has no padding token: not an encoder's")
    # from_pretrained gives evaluation mode, and Lightning keeps it: training without dropout.
    return tokenizer, model.float().train()


def longest(tokenizer: Any, model: Any, max_length: int) -> int:
    """``max-length``, or less where the encoder has fewer positions."""
    positions = getattr(model.config, "max_position_embeddings", None)
    return min(max_length, int(tokenizer.model_max_length), positions or max_length)


def _model_folder(directory: Path) -> Path:
    """The folder with config.json: ``directory``, or the only one below it."""
    configs = sorted(directory.rglob("config.json"), key=lambda path: len(path.parts))
    if not configs:
        raise TrainingFault(f"{directory} holds no model: there is no config.json in it")
    folder = configs[0].parent
    try:
        json.loads(configs[0].read_text(encoding="utf-8"))
    except ValueError:
        raise TrainingFault(f"{configs[0]} is not valid JSON") from None
    if not any(folder.glob("*.safetensors")):
        raise TrainingFault(
            f"{folder} has no .safetensors weights; other forms are not read: save the model with "
            "save_pretrained"
        )
    return folder


def _ask_hub(name: str) -> None:
    """Raises ``TrainingFault`` unless ``name`` is in the cache or the Hub answers for it."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT)
    except RepositoryNotFoundError:
        raise TrainingFault(
            f"model-name-or-path: the Hub has no model {name}, or it is private"
        ) from None
    except Exception as error:  # offline mode, no route, no name service, proxy: all the same here
        raise TrainingFault(
            f"model {name} cannot be fetched: the Hugging Face Hub does not answer "
            f"({type(error).__name__}); give a model channel, a folder, or "
            "model-name-or-path=scratch"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
