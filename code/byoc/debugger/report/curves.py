"""Loss and metrics over the steps, from what training reported and from what the hook saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.numbers import curve
from byoc.debugger.report.tensors import LOSS, Tensors
from byoc.debugger.run import Run

_AXES = ("step", "epoch")


def curves_section(run: Run, saved: Tensors) -> dict[str, Any]:
    """``loss``, ``metrics`` and ``learning_rate``: lines by step; ``epochs``: their last steps."""
    reported = _reported(run.history)
    losses = [curve(name, *line) for name, line in reported.items() if "loss" in name]
    if not losses:
        losses = _saved_losses(saved)
    rates = [
        curve(name, *line) for name, line in reported.items() if name in ("lr", "learning_rate")
    ]
    others = {
        name: line
        for name, line in reported.items()
        if "loss" not in name and name not in ("lr", "learning_rate")
    }
    return {
        "loss": losses,
        "metrics": [curve(name, *line) for name, line in others.items()],
        "learning_rate": rates,
        "epochs": _epochs(run.history),
        "notes": _notes(reported),
    }


def _notes(reported: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[dict[str, str]]:
    """Where each validation score was best, and whether the job went on well beyond that."""
    notes = []
    for name, (steps, values) in reported.items():
        good = np.flatnonzero(np.isfinite(values))
        if not name.startswith("val_") or len(good) < 2:
            continue
        lowest = "loss" in name
        best = good[np.argmin(values[good]) if lowest else np.argmax(values[good])]
        what = (
            f"{name} was {'lowest' if lowest else 'highest'} at step {steps[best]:.0f}: "
            f"{values[best]:.4g}; the last is {values[good[-1]]:.4g}."
        )
        notes.append({"what": what, "advice": ""})
    return notes


def _saved_losses(saved: Tensors) -> list[dict[str, Any]]:
    """What the hook saved, of jobs that report no loss by step."""
    return [
        curve(f"{mode.lower()} loss", *column.arrays())
        for mode in ("TRAIN", "EVAL", "GLOBAL")
        for column in saved.of(LOSS, mode).values()
    ]


def _reported(history: list[dict[str, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lines by name; the means of whole epochs under a name of their own."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for record in history:
        step = record.get("step")
        if not isinstance(step, int | float):
            continue
        is_epoch = _is_epoch(record)
        for name, value in record.items():
            if name in _AXES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            shown = f"{name} (epoch mean)" if is_epoch and name == "train_loss" else name
            steps, values = found.setdefault(shown, ([], []))
            steps.append(float(step))
            values.append(float(value))
    return {
        name: (np.asarray(steps), np.asarray(values)) for name, (steps, values) in found.items()
    }


def _is_epoch(record: dict[str, float]) -> bool:
    return any(name.startswith("val_") for name in record)


def _epochs(history: list[dict[str, float]]) -> list[float]:
    """The steps at which epochs ended."""
    return [record["step"] for record in history if _is_epoch(record) and "step" in record]
