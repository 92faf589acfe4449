"""Section 3: time by phase, and the operators that take the most of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byoc.debugger.report.clock import Clock
from byoc.debugger.report.job import PARTS
from byoc.debugger.report.numbers import share, statistics
from byoc.debugger.run import Operator, Phases, Run

STEP = "Step"
HOOK = "Hook"
WITHIN_STEP = ("DataLoading", "Forward", "Backward", "Optimizer", HOOK)
TOP = 12
DENSE_STEPS, MOST_LEFT_OUT = 20_000, 10
"""From this step on spans may stand for up to so many steps."""


def framework_section(run: Run, clock: Clock) -> dict[str, Any]:
    return {
        "phases": _phases(run.phases, clock),
        "operators": {
            "cpu": _top(run.operators, "cpu"),
            "gpu": _top(run.operators, "gpu"),
        },
    }


def phase_seconds(phases: Phases | None, name: str) -> float:
    """Per node, summed over its spans; a step that stands for others counts for all of them."""
    if phases is None or not len(phases.names):
        return 0.0
    return _seconds(phases, phases.names == name)


def _seconds(phases: Phases, chosen: NDArray[np.bool_]) -> float:
    nodes = max(1, len(np.unique(phases.nodes)))
    return float((phases.seconds[chosen] * weights(phases.steps[chosen])).sum()) / nodes


def weights(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n]: how many steps each span stands for: of a long job's later steps one in ten is written
    (`byoc.debugger.capture.phases`)."""
    known = np.unique(steps)
    gaps = np.minimum(np.diff(known, append=known[-1:] + 1), MOST_LEFT_OUT)
    if len(gaps) > 1:
        gaps[-1] = gaps[-2]
    gaps[known < DENSE_STEPS] = 1
    return gaps[np.searchsorted(known, steps)]


def _phases(phases: Phases | None, clock: Clock) -> list[dict[str, Any]]:
    """The longest first; within a step's time what of it none of its parts covers as ``Other``.

    Debugging's own time (Hook) is part of its step, or stands for itself between steps.
    """
    if phases is None or not len(phases.names):
        return []
    found = []
    for name in map(str, np.unique(phases.names)):
        if name in (STEP, *PARTS[1:2]):
            continue
        chosen = phases.names == name
        inside = chosen & (phases.steps >= 0) if name == HOOK else chosen & (name in WITHIN_STEP)
        for part, within in ((inside, STEP), (chosen & ~inside, None)):
            if part.any():
                found.append({"name": name, "within": within, **_spans(phases, part)})
    parts = sum(phase["seconds"] for phase in found if phase["within"])
    rest = phase_seconds(phases, STEP) - parts
    if phase_seconds(phases, STEP) and rest > 0:
        found.append({"name": "Other", "within": STEP, "seconds": rest, "count": None})
    for phase in found:
        phase["share"] = share(phase["seconds"], clock.seconds)
    return sorted(found, key=lambda phase: -float(phase["seconds"]))


def _spans(phases: Phases, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    found = statistics(phases.seconds[chosen])
    return {
        "seconds": _seconds(phases, chosen),
        "count": int(chosen.sum()),
        "p50": found["p50"],
        "max": found["max"],
    }


def _top(operators: list[Operator], device: str) -> list[dict[str, Any]]:
    chosen = [operator for operator in operators if operator.device == device]
    whole = sum(operator.total_us for operator in chosen)
    chosen.sort(key=lambda operator: -operator.total_us)
    return [
        {
            "name": operator.name,
            "seconds": operator.total_us / 1e6,
            "calls": operator.calls,
            "share": share(operator.total_us, whole),
        }
        for operator in chosen[:TOP]
        if operator.total_us > 0
    ]
