"""Results of tunings that the tests of their page are made of."""

from __future__ import annotations

import math
from typing import Any

from byoc.tuning.ranges import Categorical, Continuous, Range
from byoc.tuning.results import TrialResult, TuningResult

RANGES: tuple[Range, ...] = (
    Continuous("lr", 1e-5, 1e-3, "Logarithmic"),
    Categorical("batch-size", ("16", "32", "64")),
)


def trial(number: int, value: float | None, status: str = "Completed", **more: Any) -> TrialResult:
    """lr rises with ``number``, the batch size goes round."""
    lr = 1e-5 * 10 ** (number / 10)
    values = {"lr": repr(lr), "batch-size": ("16", "32", "64")[number % 3]}
    curve = {} if value is None else {1: value - 0.2, 2: value}
    facts: dict[str, Any] = {"curve": curve, "started": 1.8e9 + 60 * number}
    facts |= {"ended": 1.8e9 + 60 * number + 50} if status != "InProgress" else {}
    facts |= {"number": number, "job": f"t-{number:04d}", "status": status}
    return TrialResult(**{**facts, "values": values, "value": value, **more})


def tuning(*trials: TrialResult, **facts: Any) -> TuningResult:
    usual: dict[str, Any] = {
        "name": "t",
        "where": "process",
        "objective": "val_mcc",
        "direction": "Maximize",
        "status": "Completed",
        "jobs": len(trials),
        "fixed": {"epochs": "2"},
        "ranges": RANGES,
    }
    return TuningResult(trials=trials, **{**usual, **facts})


def twenty() -> TuningResult:
    """The objective hangs on lr, best at 1e-4, and not on the batch size; some trials ended in
    other ways."""
    trials = [
        trial(n, 0.5 - ((n - 10) / 15) ** 2, metrics={"val_loss": {1: 0.7, 2: 0.5 + n / 100}})
        for n in range(20)
    ]
    trials[3] = trial(3, None, "Failed", cause="the disk is full: take a larger volume")
    trials[5] = trial(5, 0.31, "Pruned", cause="pruned after epoch 2")
    trials[7] = trial(7, math.nan, "InProgress")
    return tuning(*trials)
