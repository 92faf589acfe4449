"""The system metrics of GPUs and cores as arrays: what sections 6 to 11 look into."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from byoc.debugger.report.metrics import key_of
from byoc.debugger.report.numbers import Numbers
from byoc.debugger.run import Run, Series

GPU = ("gpu", "GPUUtilization")
GPU_MEMORY = ("gpu", "GPUMemoryUtilization")
GPU_MEMORY_BYTES = ("gpu", "GPUMemoryUsedBytes")
CPU = ("cpu", "CPUUtilization")
IO_WAIT = ("cpu", "I/OWaitPercentage")
MEMORY = ("memory", "MemoryUsedPercent")


@dataclass
class Devices:
    """Series by metric; empty where the job has no such device or nobody watched it."""

    by_key: dict[tuple[str, str], list[Series]] = field(default_factory=dict)

    def of(self, key: tuple[str, str]) -> list[Series]:
        return self.by_key.get(key, [])

    def values(self, key: tuple[str, str]) -> Numbers:
        """Of all devices together."""
        found = [np.asarray(series.values, dtype=np.float64) for series in self.of(key)]
        return np.concatenate(found) if found else np.zeros(0)

    def ticks(self, key: tuple[str, str], node: str, highest: bool) -> tuple[Numbers, Numbers]:
        """Whole seconds since 1970; of each the mean, or the highest, over the node's devices."""
        chosen = [series for series in self.of(key) if series.node == node]
        if not chosen:
            return np.zeros(0), np.zeros(0)
        seconds = np.concatenate([np.floor(series.times) for series in chosen])
        values = np.concatenate([np.asarray(series.values, np.float64) for series in chosen])
        order = np.argsort(seconds, kind="stable")
        seconds, values = seconds[order], values[order]
        starts = np.flatnonzero(np.diff(seconds, prepend=np.nan) != 0)
        if highest:
            return seconds[starts], np.maximum.reduceat(values, starts)
        counts = np.diff(np.append(starts, len(values)))
        return seconds[starts], np.add.reduceat(values, starts) / counts

    @property
    def nodes(self) -> list[str]:
        return sorted({series.node for found in self.by_key.values() for series in found})


def devices_of(run: Run) -> Devices:
    devices = Devices()
    for series in run.system:
        if len(series.times):
            devices.by_key.setdefault(key_of(series), []).append(series)
    return devices
