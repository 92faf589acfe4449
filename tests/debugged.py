"""Saves as a debugged job makes them, for tests: in memory, or on disk by smdebug itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger.engine import RuleSet
from byoc.debugger.findings import RuleResult
from byoc.debugger.run import Phases, Run, Series
from byoc.debugger.save import Save

COLLECTIONS = {
    "losses": {"tensor_names": [], "include_regex": ["loss"]},
    "gradients": {"tensor_names": [], "include_regex": ["^gradient"]},
    "weights": {"tensor_names": [], "include_regex": [r"^layer.*weight$"]},
    "biases": {"tensor_names": [], "include_regex": [r"^layer.*bias$"]},
}

WRITE = Path(__file__).parent / "write_tensors.py"


class Saves(list[Save]):
    """A job's saves so far; steps count themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._next = {ModeKeys.TRAIN: 0, ModeKeys.EVAL: 0, ModeKeys.GLOBAL: 0}

    def train(self, at: int | None = None, **tensors: Any) -> None:
        self._save(ModeKeys.TRAIN, at, tensors)

    def validate(self, at: int | None = None, **tensors: Any) -> None:
        self._save(ModeKeys.EVAL, at, tensors)

    def _save(self, mode: ModeKeys, at: int | None, tensors: Mapping[str, Any]) -> None:
        """A dict stands for reductions ({"abs_mean": 0.1}), ``__`` in a name for a slash."""
        step = self._next[mode] if at is None else at
        self._next[mode] = step + 1
        save = Save(self[-1].step + 1 if self else 0, mode, step, 1.6e9 + len(self))
        for name, value in tensors.items():
            tensor = name.replace("__", "/").replace("_DOT_", ".")
            if isinstance(value, dict):
                save.reductions[tensor] = {
                    (key.removeprefix("abs_"), key.startswith("abs_")): float(number)
                    for key, number in value.items()
                }
            else:
                save.tensors[tensor] = np.asarray(value)
        self.append(save)


def judge(
    saves: Iterable[Save],
    rule: str,
    parameter_set: str = "recommended",
    collections: Mapping[str, Any] = COLLECTIONS,
    **parameters: Any,
) -> RuleResult:
    """What one rule says, fed save by save as in a live job."""
    rules = RuleSet([rule], parameter_set, {rule: parameters} if parameters else None)
    rules.set_collections(collections)
    for save in saves:
        rules.save(save)
    rules.end()
    return rules.results()[0]


def judge_run(
    run: Run, rule: str, parameter_set: str = "recommended", **parameters: Any
) -> RuleResult:
    rules = RuleSet([rule], parameter_set, {rule: parameters} if parameters else None)
    rules.profile(run)
    return rules.results()[0]


def a_run(
    series: Mapping[tuple[str, str], Any] | None = None,
    phases: Iterable[tuple[str, float, float]] = (),
    seconds: float = 0.5,
) -> Run:
    """``series`` by (name, dimension), each [n] at every half second; ``phases``: name, start,
    seconds."""
    run = Run(Path("nowhere"))
    for (name, dimension), values in (series or {}).items():
        times = 1.6e9 + seconds * np.arange(len(values))
        kind = name.rstrip("0123456789")
        run.system.append(
            Series("algo-1", kind, name, dimension, times, np.asarray(values, dtype=float))
        )
    rows = list(phases)
    if rows:
        run.phases = Phases(
            np.array([row[0] for row in rows]),
            np.array([1.6e9 + row[1] for row in rows]),
            np.array([row[2] for row in rows]),
            np.arange(len(rows)),
            np.array(["algo-1"] * len(rows)),
        )
    return run


def write_with_smdebug(folder: Path, *arguments: str) -> None:
    """Runs ``write_tensors.py``: smdebug's own writer needs a protobuf of its own process."""
    subprocess.run(
        [sys.executable, str(WRITE), str(folder), *arguments],
        check=True,
        env={
            **os.environ,
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
            "SMDEBUG_LOG_LEVEL": "error",
            "SMDEBUG_TRAINING_END_DELAY_REFRESH": "0",
        },
    )


def write_events(
    folder: Path,
    saves: Iterable[tuple[ModeKeys, int, Mapping[str, Any]]],
    collections: Mapping[str, Any],
) -> None:
    """(mode, step in it, tensors) in smdebug's form, by the capture's own writer."""
    from byoc.debugger.capture.event_file import EventFile

    for number, (mode, step, tensors) in enumerate(saves):
        file = EventFile(folder, number, "worker_0")
        for name, value in tensors.items():
            file.write_tensor(value, name, mode, step, 1.6e9 + number)
        file.close()
    place = folder / "collections" / "000000000" / "worker_0_collections.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"collections": dict(collections), "_meta": {"num_workers": 1}}))
