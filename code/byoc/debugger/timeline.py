"""Reads what a job did when, in smdebug's timeline form: framework/pevents/YYYYMMDDHH/*.json.

Each file is a Chrome trace: metadata events name the phases (``pid``) and the time that ``ts``
counts from (both in microseconds); complete events (``"ph": "X"``) are the spans. SageMaker's own
jobs have operators among them (``cpu_functions``, ``gpu_functions-dev:N``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from byoc.debugger.layout import FRAMEWORK, PEVENTS
from byoc.debugger.run import Operator, Phases

NAMES = {
    "Step:ModeKeys.TRAIN": "Step",
    "Step:ModeKeys.EVAL": "Validation",
    "Backward(post-forward)": "Backward",
    "DataLoaderIter": "DataLoading",
    "DataLoaderIterInitialize": "DataLoading",
}
"""smdebug's words for phases, where `Phases` has others."""

_OPERATORS = ("cpu_functions", "gpu_functions")
_INNER = ("-SubModuleInternal", "DataLoaderWorker")
"""Phases that are parts of others, thousands to a step."""


@dataclass
class Spans:
    phases: Phases | None = None
    operators: list[Operator] = field(default_factory=list)


@dataclass
class _Columns:
    names: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)

    def to_phases(self) -> Phases | None:
        if not self.names:
            return None
        order = np.argsort(self.starts, kind="stable")
        return Phases(
            np.array(self.names)[order],
            np.array(self.starts)[order],
            np.array(self.seconds)[order],
            np.array(self.steps, np.int64)[order],
            np.array(self.nodes)[order],
        )


def read(profiler: Path) -> Spans:
    """All spans of ``profiler``/framework/pevents, in the order of their starts."""
    columns, sums = _Columns(), dict[tuple[str, str], list[float]]()
    folder = profiler / FRAMEWORK
    # END_NODE_kind.json; NODE is RANK-algo-N. A running or a killed job has one open.
    for path in sorted((folder / PEVENTS).glob("*/*.json")):
        node = path.name.split("_")[1] if path.name.count("_") > 1 else ""
        _read(_events(path), _host(node), columns, sums)
    for path in sorted(folder.glob("*.json.tmp")):
        _read(_events(path), _host(path.name.split("_")[0]), columns, sums)
    operators = [Operator(*key, total, int(calls)) for key, (total, calls) in sums.items()]
    return Spans(columns.to_phases(), operators)


def _read(
    events: list[dict[str, Any]],
    node: str,
    columns: _Columns,
    sums: dict[tuple[str, str], list[float]],
) -> None:
    phases: dict[int, str] = {}
    base = 0.0
    for event in events:
        arguments = event.get("args") or {}
        if event.get("ph") == "M":
            if event.get("name") == "process_name" and "name" in arguments:
                phases[event["pid"]] = arguments["name"]
            base = arguments.get("start_time_since_epoch_in_micros", base)
        if event.get("ph") != "X":
            continue
        phase = phases.get(event["pid"], "")
        if phase.startswith(_OPERATORS):
            total = sums.setdefault((event["name"], phase[:3]), [0.0, 0])
            total[0] += event["dur"]
            total[1] += 1
        elif not any(part in phase for part in _INNER):
            columns.names.append(NAMES.get(phase, phase))
            columns.starts.append((base + event["ts"]) / 1e6)
            columns.seconds.append(event["dur"] / 1e6)
            columns.steps.append(_step(arguments))
            columns.nodes.append(node)


def _host(node: str) -> str:
    return node.partition("-")[2] or node


def _step(arguments: dict[str, Any]) -> int:
    try:
        return int(arguments.get("step_num", -1))
    except (TypeError, ValueError):
        return -1


def _events(path: Path) -> list[dict[str, Any]]:
    """Also of a file that was never closed: its last line is torn, or the bracket missing."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = []
        for line in text.splitlines():
            try:
                found.append(json.loads(line.rstrip(", ")))
            except ValueError:
                continue
    return [event for event in found if isinstance(event, dict)]
