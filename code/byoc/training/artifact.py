"""Writes what training leaves: the model artifact and the results beside it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from byoc.training.config import TrainingConfig, as_hyperparameters
from byoc.training.faults import TrainingFault
from byoc.training.sources import Splits


def write(
    model: Any, tokenizer: Any, config: TrainingConfig, metrics: dict[str, float], folder: Path
) -> None:
    """The model (safetensors), its tokenizer, metrics.json and training.json, in ``folder``.

    Raises ``TrainingFault`` where they cannot be written whole.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.config.architectures = [type(model).__name__]
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _write_json(folder / "metrics.json", metrics)
        _write_json(folder / "training.json", as_hyperparameters(config))
        for path in folder.iterdir():
            # safetensors writes for the owner alone; serving may run as another user.
            path.chmod(0o755 if path.is_dir() else 0o644)
    except Exception as error:  # safetensors has an exception of its own for a full disk
        raise TrainingFault(f"cannot write the model to {folder}: {_reason(error)}") from error


def write_results(
    metrics: dict[str, float],
    splits: Splits,
    probabilities: dict[str, list[list[float]]] | None,
    folder: Path,
) -> None:
    """metrics.json, and SPLIT_predictions.csv (text, label, prediction, score) where scored.

    Raises ``TrainingFault`` where they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "metrics.json", metrics)
        for split, rows in (probabilities or {}).items():
            _write_predictions(folder / f"{split}_predictions.csv", splits, split, rows)
    except OSError as error:
        raise TrainingFault(f"cannot write the results to {folder}: {_reason(error)}") from error


def _write_predictions(path: Path, splits: Splits, split: str, rows: list[list[float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "label", "prediction", "score"))
        for example, scores in zip(splits.examples(split), rows, strict=True):
            best, names = max(range(len(scores)), key=scores.__getitem__), splits.names
            writer.writerow(
                (example.text, names[example.label], names[best], f"{scores[best]:.6f}")
            )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0]
