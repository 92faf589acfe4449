"""The trials that can be drawn: those with a finite objective."""

from __future__ import annotations

import math
from collections.abc import Sequence

from byoc.tuning.results import TrialResult, TuningResult

STATUS_COLOURS = {"Completed": "var(--c0)", "Pruned": "var(--c6)", "InProgress": "var(--c7)"}
"""Failed and stopped ones have no objective."""
BEST_COLOUR = "var(--c1)"


def drawable(result: TuningResult) -> list[TrialResult]:
    return [
        trial
        for trial in result.trials
        if trial.status in STATUS_COLOURS and trial.value is not None and math.isfinite(trial.value)
    ]


def objective(trial: TrialResult) -> float:
    """Of a drawable one."""
    return trial.value if trial.value is not None else math.nan


def worst_first(result: TuningResult, trials: Sequence[TrialResult]) -> list[TrialResult]:
    sign = 1 if result.direction == "Maximize" else -1
    return sorted(trials, key=lambda trial: sign * objective(trial))
