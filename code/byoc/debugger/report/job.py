"""Section 1: what the job was, when it ran, and how its time divides."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.clock import Clock
from byoc.debugger.report.numbers import share
from byoc.debugger.run import Phases, Run

PARTS = ("Initialization", "TrainLoop", "Finalization")


def job_section(run: Run, clock: Clock) -> dict[str, Any]:
    facts = {key: value for key, value in run.facts.items() if key not in _PLACED}
    tables = {key: value for key, value in facts.items() if isinstance(value, dict)}
    return {
        "name": run.facts.get("job") or run.folder.resolve().name,
        "start": clock.start or None,
        "end": clock.end or None,
        "seconds": clock.seconds,
        "parts": _parts(run.phases, clock),
        "hyperparameters": dict(run.facts.get("hyperparameters") or {}),
        "metrics": dict(run.facts.get("metrics") or {}),
        "facts": {key: value for key, value in facts.items() if key not in tables},
        "tables": tables,
    }


_PLACED = {
    "job",
    "node",
    "started",
    "loop_started",
    "loop_ended",
    "ended",
    "hyperparameters",
    "metrics",
}
"""Facts that have a place of their own; the others are listed."""


def _parts(phases: Phases | None, clock: Clock) -> list[dict[str, Any]]:
    """Initialization, training loop, finalization and the rest, in order of time."""
    if phases is None or not len(phases.names):
        return []
    nodes = max(1, len(np.unique(phases.nodes)))
    found: list[dict[str, Any]] = []
    for name in PARTS:
        seconds = float(phases.seconds[phases.names == name].sum()) / nodes
        if seconds or name == "TrainLoop":
            found.append({"name": name, "seconds": seconds})
    rest = clock.seconds - sum(part["seconds"] for part in found)
    # Less than a hundredth is rounding between clocks, not a part of the job.
    if rest > 0.01 * clock.seconds:
        found.append({"name": "Other", "seconds": rest})
    whole = max(clock.seconds, sum(part["seconds"] for part in found))
    return [part | {"share": share(part["seconds"], whole)} for part in found]
