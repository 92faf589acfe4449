"""torch.profiler over a few steps: a Chrome trace, and the operators' sums beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from byoc.debugger.capture.event_file import whole
from byoc.debugger.layout import FRAMEWORK, OPERATORS, TORCH_PROFILER


class OperatorProfile:
    """Of the steps from ``first`` to ``last``; written when the last one ends."""

    def __init__(self, profiler: Path, node: str, first: int, last: int) -> None:
        self._folder = profiler / FRAMEWORK / TORCH_PROFILER
        self._node, self._first, self._last = node, first, last
        self._profile: Any = None

    def turns(self, step: int) -> bool:
        """Whether the profiler starts or ends between the step before and this one."""
        return step in (self._first, self._last + 1)

    def turn(self, step: int) -> None:
        if step == self._first:
            self._start()
        else:
            self.finish()

    def _start(self) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its lines are of no use to a user
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(activities=activities)
        self._profile.start()

    def finish(self) -> None:
        """Also of a job that ends within these steps. Raises ``OSError``."""
        if self._profile is None:
            return
        profiled, self._profile = self._profile, None
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        profiled.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        trace = self._folder / f"{self._node}.{self._first:09d}.pt.trace.json.gz"
        partial = trace.with_name(f".{trace.name}")  # .gz at the end: torch packs by it
        profiled.export_chrome_trace(str(partial))
        partial.replace(trace)
        content = json.dumps(operators(profiled))
        whole(self._folder / f"{self._node}.{OPERATORS}", content.encode())

    def drop(self) -> None:
        profiled, self._profile = self._profile, None
        if profiled is not None:
            profiled.stop()


def operators(profiled: Any) -> list[dict[str, Any]]:
    """Each operator's own time by device, without that of those it calls; longest first."""
    found = []
    for event in profiled.key_averages():
        times = {"cpu": event.self_cpu_time_total, "gpu": event.self_device_time_total}
        found += [
            {"name": event.key, "device": device, "total_us": float(us), "calls": event.count}
            for device, us in times.items()
            if us > 0
        ]
    return sorted(found, key=lambda row: -row["total_us"])
