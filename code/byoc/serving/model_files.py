"""Is there a model that can be loaded? Asked before anything starts: the answer is quick."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from byoc.serving.faults import ServingFault
from byoc.serving.functions import user_script
from byoc.serving.rules import Rules

MOST_ON_A_GPU = 3
SMALL_WEIGHTS = 1_000_000_000
"""Bytes of weights: more than one such model has no place on the smallest GPUs, of 16 GB."""

_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
)


def check(model_dir: Path) -> None:
    """Raises ``ServingFault`` where the model folder is missing, empty or broken."""
    if not model_dir.is_dir():
        raise ServingFault(f"no model: {model_dir} is not a folder")
    if not any(model_dir.iterdir()):
        raise ServingFault(f"no model: {model_dir} is empty")
    script = user_script(model_dir)
    if script and "model_fn" in _functions(script):
        return  # how it looks inside is the script's affair
    _check_config(model_dir / "config.json")
    for path in _weights(model_dir):
        _check_weights(path)
    if not any((model_dir / name).is_file() for name in _TOKENIZERS):
        raise ServingFault(f"no tokenizer in {model_dir}: none of {', '.join(_TOKENIZERS)}")


def rules(model_dir: Path, wanted: Rules) -> Rules:
    """``wanted`` and, where it leaves that open, whether training had sentence pairs."""
    if wanted.pairs is not None:
        return wanted
    try:
        found = json.loads((model_dir / "training.json").read_text(encoding="utf-8"))
        return replace(wanted, pairs=bool(found["text-pair-column"]))
    except (OSError, ValueError, KeyError, TypeError):
        return wanted


def workers_of_a_gpu(model_dir: Path, cores: int) -> int:
    """How many workers share a GPU, of ``cores`` for each.

    A GPU is done with a batch before a Python process has read the next requests, so several feed
    it; a core stays for front and model server. One for a model that takes much of the memory, or
    whose script may expect to be alone.
    """
    if user_script(model_dir) is not None:
        return 1
    size = sum(path.stat().st_size for path in _weights(model_dir))
    return max(1, min(MOST_ON_A_GPU, cores - 1)) if size <= SMALL_WEIGHTS else 1


def _functions(script: Path) -> set[str]:
    """The names that a script defines, found without running it."""
    try:
        tree = ast.parse(script.read_text(encoding="utf-8"), str(script))
    except (SyntaxError, ValueError) as error:
        raise ServingFault(f"{script} cannot be read as Python: {error}") from None
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            found.update(alias.asname or alias.name for alias in node.names)
        if isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


def _check_config(path: Path) -> None:
    content = _read_json(path)
    if not isinstance(content, dict) or "model_type" not in content:
        raise ServingFault(f"{path} names no model_type")


def _weights(model_dir: Path) -> list[Path]:
    """The files of weights, one or several."""
    single, index = model_dir / "model.safetensors", model_dir / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        content = _read_json(index)
        return [model_dir / name for name in sorted(set(content.get("weight_map", {}).values()))]
    if any(model_dir.glob("*.bin")) or any(model_dir.glob("*.pt")):
        raise ServingFault(
            f"{model_dir} has pickled weights only: save the model as safetensors "
            "(save_pretrained does)"
        )
    raise ServingFault(f"no weights: {single} is missing")


def _check_weights(path: Path) -> None:
    """A safetensors file: 8 bytes with the header's length, a JSON header, the tensors' bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: Any = json.loads(stream.read(min(length, size)))
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        ends = [entry["data_offsets"][1] for entry in entries]
        whole = size == 8 + length + max(ends, default=0)
    except FileNotFoundError:
        raise ServingFault(f"no weights: {path} is missing") from None
    except OSError as error:
        raise ServingFault(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        raise ServingFault(f"{path} is broken: it is no safetensors file") from None
    if not whole:
        raise ServingFault(f"{path} is broken: its size does not fit its header")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ServingFault(f"no model: {path} is missing") from None
    except OSError as error:
        raise ServingFault(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ServingFault(f"{path} is not valid JSON: {error}") from None
