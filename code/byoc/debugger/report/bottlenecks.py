"""Sections 8, 9 and 10: what GPUs wait for, and how evenly devices work."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.devices import CPU, GPU, IO_WAIT, Devices
from byoc.debugger.report.framework import STEP, phase_seconds
from byoc.debugger.report.numbers import Numbers, share, statistics
from byoc.debugger.run import Run

CPU_BUSY, IO_BUSY, GPU_IDLE = 90.0, 50.0, 10.0
"""AWS's CPUBottleneck and IOBottleneck, in per cent."""

PATIENCE = 0.5
"""AWS's threshold: a bottleneck counts that lasts for half of the time or longer."""

_LOADING, _UNEVEN = 0.2, 20.0


def cpu_section(devices: Devices) -> dict[str, Any]:
    idle, blocked = _shares(devices, CPU, CPU_BUSY)
    return {
        "thresholds": {"cpu": CPU_BUSY, "gpu": GPU_IDLE},
        "gpu_idle": idle,
        "blocked": blocked,
        "cores": [
            {"node": series.node, "name": series.name, **statistics(series.values)}
            for series in devices.of(CPU)
        ],
        "notes": [_cpu_note(idle, blocked, devices)],
    }


def _cpu_note(idle: float | None, blocked: float | None, devices: Devices) -> dict[str, str]:
    if idle is None or blocked is None:
        busy = statistics(devices.values(CPU))
        if busy["mean"] is None:
            return {"what": "No CPU metric was saved.", "advice": "Nothing can be said."}
        return {
            "what": f"The job had no GPU that could wait; its cores were {busy['mean']:.0f}% busy.",
            "advice": "The cores do the work: more of them, or bf16 where they have it, is faster."
            if busy["mean"] >= CPU_BUSY / 2
            else "Half of the cores' time is unused: look at data loading and at torch's threads.",
        }
    what = (
        f"GPUs were used less than {GPU_IDLE:.0f}% for {idle:.0%} of the time; for {blocked:.0%} "
        f"of the time so while a core was more than {CPU_BUSY:.0f}% busy."
    )
    if blocked > PATIENCE:
        return {
            "what": what,
            "advice": "The CPUs hold the GPUs up: prepare the data once, before training, use more "
            "loader processes, or an instance with more cores for each GPU.",
        }
    return {"what": what, "advice": "The CPUs are no bottleneck."}


def io_section(run: Run, devices: Devices) -> dict[str, Any]:
    idle, blocked = _shares(devices, IO_WAIT, IO_BUSY)
    steps = phase_seconds(run.phases, STEP)
    loading = share(phase_seconds(run.phases, "DataLoading"), steps)
    wait = statistics(devices.values(IO_WAIT))
    return {
        "thresholds": {"io": IO_BUSY, "gpu": GPU_IDLE},
        "gpu_idle": idle,
        "blocked": blocked,
        "io_wait": wait if wait["samples"] else None,
        "data_loading": loading,
        "notes": _io_notes(blocked, loading, wait),
    }


def _io_notes(
    blocked: float | None, loading: float | None, wait: dict[str, Any]
) -> list[dict[str, str]]:
    notes = []
    if loading is not None:
        notes.append(
            {
                "what": f"{loading:.1%} of the steps' time went into waiting for data.",
                "advice": "Load ahead of the step (num-workers), or keep the data nearer: "
                "FastFile or a local copy."
                if loading > _LOADING
                else "Data loading is no bottleneck.",
            }
        )
    if blocked is not None:
        notes.append(
            {
                "what": f"GPUs waited while a core waited for disk or network for {blocked:.0%} of "
                "the time.",
                "advice": "Faster storage, or fewer and larger files."
                if blocked > PATIENCE
                else "I/O is no bottleneck.",
            }
        )
    elif wait["p95"] is not None:
        notes.append(
            {
                "what": f"Cores waited for disk or network {wait['p95']:.0f}% of the time at P95.",
                "advice": "Faster storage, or fewer and larger files."
                if wait["p95"] > IO_BUSY
                else "I/O is no bottleneck.",
            }
        )
    return notes or [{"what": "No I/O metric was saved.", "advice": "Nothing can be said."}]


def load_section(devices: Devices) -> dict[str, Any]:
    """Of GPUs where there are any, else of cores."""
    kind = "gpu" if devices.of(GPU) else "cpu"
    found = [
        {"node": series.node, "name": series.name, **statistics(series.values)}
        for series in devices.of(GPU if kind == "gpu" else CPU)
    ]
    means = [device["mean"] for device in found if device["mean"] is not None]
    spread = max(means) - min(means) if means else None
    return {
        "of": kind if found else None,
        "devices": found,
        "spread": spread,
        "notes": [_load_note(kind, means, spread)],
    }


def _load_note(kind: str, means: list[float], spread: float | None) -> dict[str, str]:
    word = "GPU" if kind == "gpu" else "core"
    if spread is None:
        return {"what": "No utilization was saved.", "advice": "Nothing can be said."}
    if len(means) == 1:
        return {"what": f"There was one {word}.", "advice": "Nothing to balance."}
    what = (
        f"The busiest of {len(means)} {word}s was used {max(means):.0f}% on average, the least "
        f"busy {min(means):.0f}%."
    )
    if spread <= _UNEVEN:
        return {"what": what, "advice": "The load is even."}
    if kind == "cpu":
        advice = "One process does the work: see torch's number of threads and the loaders."
    else:
        advice = "See that each process gets batches of like size, and that none does more work."
    return {"what": what, "advice": advice}


def _shares(
    devices: Devices, key: tuple[str, str], threshold: float
) -> tuple[float | None, float | None]:
    """Of all seconds and nodes: in which the GPUs idled; in which, too, a core was over it."""
    seconds = idle = blocked = 0
    for node in devices.nodes:
        times, used = devices.ticks(GPU, node, highest=False)
        if not len(times):
            continue
        low = used < GPU_IDLE
        busy = _at(times, *devices.ticks(key, node, highest=True))
        seconds += len(times)
        idle += int(low.sum())
        blocked += int((low & (busy > threshold)).sum())
    if not seconds or not devices.of(key):
        return None, None
    return idle / seconds, blocked / seconds


def _at(times: Numbers, other_times: Numbers, values: Numbers) -> Numbers:
    """``values`` at ``times``; NaN where the other clock has no such second."""
    if not len(other_times):
        return np.full(len(times), np.nan)
    places = np.minimum(np.searchsorted(other_times, times), len(other_times) - 1)
    return np.where(other_times[places] == times, values[places], np.nan)
