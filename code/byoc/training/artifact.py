"""Writes the model artifact: what serving loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from byoc.training.card import card
from byoc.training.config import as_hyperparameters
from byoc.training.faults import TrainingFault, reason
from byoc.training.files import write_json
from byoc.training.outcome import Outcome

_STAGE = ".writing"
_LAST = "config.json"
"""Without it a folder holds no model: it goes first and comes last."""


def write(model: Any, tokenizer: Any, outcome: Outcome, folder: Path) -> None:
    """The model (safetensors), its tokenizer, its card, metrics.json and training.json.

    Everything is written in a folder inside ``folder``, which may be a mount and the only place
    that can be written to, and then renamed: a model that is there is whole. Raises
    ``TrainingFault`` where it cannot be written.
    """
    stage = folder / _STAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
        stage.mkdir()
        _fill(stage, model, tokenizer, outcome)
        _publish(stage, folder)
    except Exception as error:  # safetensors has an exception of its own for a full disk
        raise TrainingFault(f"cannot write the model to {folder}: {reason(error)}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _fill(stage: Path, model: Any, tokenizer: Any, outcome: Outcome) -> None:
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(stage)
    tokenizer.save_pretrained(stage)
    write_json(stage / "metrics.json", outcome.metrics)
    write_json(stage / "training.json", as_hyperparameters(outcome.config))
    (stage / "README.md").write_text(card(outcome), encoding="utf-8")
    for path in stage.rglob("*"):
        # safetensors writes for the owner alone; serving may run as another user.
        path.chmod(0o755 if path.is_dir() else 0o644)


def _publish(stage: Path, folder: Path) -> None:
    (folder / _LAST).unlink(missing_ok=True)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    for path in sorted(stage.iterdir(), key=lambda path: (path.name == _LAST, path.name)):
        target = folder / path.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        path.replace(target)
