"""The job's clock: when it began and ended, and seconds since then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from byoc.debugger.run import Run


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970; equal where nothing tells of time."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def clock_of(run: Run) -> Clock:
    """From the job's own start and end, else from its phases, else from its metrics."""
    start, end = run.facts.get("started"), run.facts.get("ended")
    starts, ends = [], []
    if run.phases is not None and len(run.phases.starts):
        starts.append(float(run.phases.starts.min()))
        ends.append(float((run.phases.starts + run.phases.seconds).max()))
    for series in run.system:
        if len(series.times):
            starts.append(float(np.min(series.times)))
            ends.append(float(np.max(series.times)))
    first = float(start) if isinstance(start, int | float) else min(starts, default=0.0)
    last = float(end) if isinstance(end, int | float) else max(ends, default=first)
    return Clock(first, max(first, last))
