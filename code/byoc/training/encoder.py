"""Finds the model to start from: the model channel, a folder, the Hub, or scratch.

Libraries are imported where they are used: what can be told without them is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.training import libraries
from byoc.training.config import SCRATCH, TrainingConfig
from byoc.training.faults import TrainingFault, reason

HUB_TIMEOUT = 10.0
"""Seconds that one question to the Hub may take."""

_OFFSET_POSITIONS = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"} | {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "xmod",
}
"""Model types whose positions start after the padding token's number, not at 0."""


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


def tokenizer(found: str, config: TrainingConfig, texts: Iterable[str]) -> Any:  # noqa: ARG001
    """The tokenizer of ``found``; for ``scratch`` one that is learned from ``texts``.

    Raises ``TrainingFault`` where it cannot be read, or is none for training an encoder.
    """
    with libraries.importing():
        from transformers import AutoTokenizer
    if found == SCRATCH:
        from byoc.training.scratch import learn_tokenizer

        return learn_tokenizer(texts)
    try:
        loaded = AutoTokenizer.from_pretrained(found)
    except Exception as error:  # transformers raises nearly anything for a broken folder
        raise TrainingFault(f"cannot load the model {found}: {reason(error)}") from error
    if loaded.pad_token_id is None:
        raise TrainingFault(f"the tokenizer of {found} has no padding token: not an encoder's")
    if not loaded.is_fast:
        raise TrainingFault(
            f"the tokenizer of {found} has no tokenizer.json, and none can be made of its files: "
            "save one with save_pretrained of a fast tokenizer"
        )
    if not _has_types(_shape(found)):
        without_types(loaded)
    return loaded


def model(found: str, config: TrainingConfig, tokenizer: Any, names: Sequence[str]) -> Any:
    """The encoder with a classification head for ``names``; weights seeded, ready to be trained.

    Raises ``TrainingFault`` where the source cannot be read as a safetensors encoder.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    labels = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    # transformers' set_seed would import peft: a second or so.
    torch.manual_seed(config.seed)
    if found == SCRATCH:
        from byoc.training.scratch import tiny_model

        return tiny_model(tokenizer, labels)
    try:
        # Safetensors only: a pickle in a model runs whatever it says.
        loaded = AutoModelForSequenceClassification.from_pretrained(
            found, use_safetensors=True, ignore_mismatched_sizes=True, **labels
        )
    except Exception as error:  # transformers raises nearly anything for a broken folder
        raise TrainingFault(f"cannot load the model {found}: {reason(error)}") from error
    # from_pretrained gives evaluation mode, and Lightning keeps it: training without dropout.
    return loaded.float().train()


def longest(found: str, tokenizer: Any, max_length: int) -> int:
    """``max-length`` in tokens, or less where the encoder has fewer positions."""
    shape = {} if found == SCRATCH else _shape(found)
    positions = shape.get("max_position_embeddings") or max_length
    if shape.get("model_type") in _OFFSET_POSITIONS:
        positions -= int(tokenizer.pad_token_id) + 1
    return min(max_length, int(tokenizer.model_max_length), positions)


def without_types(tokenizer: Any) -> None:
    """Token types are no input of the model: not here, nor where the saved tokenizer is read."""
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names


def _has_types(shape: dict[str, Any]) -> bool:
    """Whether a model tells the two texts of a pair apart by token types.

    DistilBERT has BERT's tokenizer but no token types, and RoBERTa only one of them.
    """
    return shape.get("type_vocab_size", 0) > 1 or shape.get("model_type") == "xlnet"


def _shape(found: str) -> dict[str, Any]:
    """config.json."""
    path = Path(found) / "config.json"
    if not path.is_file():
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(found, "config.json"))
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


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
