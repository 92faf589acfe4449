"""How a tuning stands, whether a study here or a tuning job on SageMaker: one type for both."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from byoc.tuning.ranges import Range, as_table

ENDED = ("Completed", "Pruned", "Stopped", "Failed")


@dataclass(frozen=True)
class TrialResult:
    """One trial. ``status``: InProgress, Completed, Pruned (ended early by the strategy), Stopped
    or Failed; ``value``: the objective, the last one that was printed; ``values``: the tuned
    hyperparameters; ``curve``: epoch to objective, empty on SageMaker; ``metrics``: the same of
    the other metrics, by name, once the trial has ended; ``started`` and ``ended`` in seconds since
    1970; ``artifact``: URI of model.tar.gz."""

    number: int
    job: str
    status: str
    values: Mapping[str, str]
    value: float | None = None
    cause: str = ""
    curve: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    artifact: str = ""

    def seconds(self, now: float) -> float:
        """How long it has trained; of a trial that runs: until ``now``."""
        return max(0.0, (self.ended or now) - self.started) if self.started else 0.0


@dataclass(frozen=True)
class TuningResult:
    """A tuning. ``status``: InProgress, Completed, Stopped or Failed; ``fixed``: hyperparameters
    that all trials share; ``jobs``: how many trials there are to be; ``ranges``: of the others."""

    name: str
    where: str
    objective: str
    direction: str
    status: str
    jobs: int
    fixed: Mapping[str, str]
    trials: tuple[TrialResult, ...]
    ranges: tuple[Range, ...] = ()
    cause: str = ""

    @property
    def best(self) -> TrialResult | None:
        """The completed trial with the best objective; the earlier one of two alike."""
        found = [it for it in self.trials if it.status == "Completed" and it.value is not None]
        sign = 1 if self.direction == "Maximize" else -1
        return max(found, key=lambda it: sign * (it.value or 0.0), default=None)

    def count(self, status: str) -> int:
        return sum(it.status == status for it in self.trials)

    @property
    def best_hyperparameters(self) -> dict[str, str]:
        """All hyperparameters of the best trial's job; empty where no trial has completed."""
        return {**self.fixed, **self.best.values} if self.best else {}

    def best_json(self) -> str:
        """As `byoc train --hyperparameters` reads it."""
        return json.dumps(self.best_hyperparameters, indent=1) + "\n"

    def to_json(self) -> str:
        """What is not a finite number is null: JSON has no word for it."""
        found = asdict(self)
        found["ranges"] = {it.name: as_table(it) for it in self.ranges}
        found["best"] = self.best.number if self.best else None
        return json.dumps(_plain(found), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """A line for each trial."""
        names = list(dict.fromkeys(name for it in self.trials for name in it.values))
        columns = ["trial", "job", "status", self.objective, *names]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, "started", "ended", "artifact", "cause"])
        for it in self.trials:
            row: list[Any] = [it.number, it.job, it.status, "" if it.value is None else it.value]
            row += [it.values.get(name, "") for name in names]
            writer.writerow([*row, it.started or "", it.ended or "", it.artifact, it.cause])
        return out.getvalue()


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found
