"""Sections 6, 7 and 11: how much the GPUs did, whether a larger batch fits, and their memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.clock import Clock
from byoc.debugger.report.devices import (
    CPU,
    GPU,
    GPU_MEMORY,
    GPU_MEMORY_BYTES,
    MEMORY,
    Devices,
)
from byoc.debugger.report.numbers import Numbers, curve, statistics
from byoc.debugger.run import Run

P95, P5 = 70.0, 10.0
"""AWS's LowGPUUtilization and BatchSize: below these a GPU is under-used, or fluctuates."""

FULL = 0.9
"""Of the memory; the rest is left for fragments and longer batches."""

_GROWTH, _LEAST = 5.0, 2.0
"""Points of per cent an hour, and in all, from which on memory is said to grow."""
_HOUR = 3600.0
_NO_GPU = {
    "what": "No GPU was seen in this job.",
    "advice": "Nothing to do here: the job ran on CPUs, or its GPUs were not watched.",
}


def gpu_utilization_section(devices: Devices) -> dict[str, Any]:
    found = [
        {"node": series.node, "name": series.name, **statistics(series.values)}
        for series in devices.of(GPU)
    ]
    notes = [_utilization(device) for device in found if device["p95"] is not None]
    return {
        "thresholds": {"p95": P95, "p5": P5},
        "devices": found,
        "notes": notes or [_NO_GPU],
    }


def _utilization(device: dict[str, Any]) -> dict[str, str]:
    used = f"{device['node']} {device['name']} was used {device['p95']:.0f}% at P95"
    if device["p95"] < P95:
        return {
            "what": f"{used}: less than {P95:.0f}%, so it is under-used.",
            "advice": "Give it more work at a time, or take a smaller instance; the next sections "
            "tell what it waited for.",
        }
    if device["p5"] < P5:
        return {
            "what": f"{used}, but {device['p5']:.0f}% at P5: it works and waits in turn.",
            "advice": "Something blocks it: see the bottlenecks below, and validation and "
            "checkpoints in the timeline.",
        }
    return {"what": f"{used}: well used.", "advice": "Nothing to change."}


def batch_size_section(run: Run, devices: Devices) -> dict[str, Any]:
    batch_size = _number(run.facts.get("batch_size"))
    peak, total = memory_bytes(run, devices)
    filled = peak / total if peak and total else None
    if filled is None and devices.of(GPU_MEMORY):
        filled = float(np.nanmax(devices.values(GPU_MEMORY))) / 100
    used = statistics(devices.values(GPU))["p95"]
    section = {
        "batch_size": batch_size,
        "cpu_p95": statistics(devices.values(CPU))["p95"],
        "gpu_p95": used,
        "gpu_memory_p95": statistics(devices.values(GPU_MEMORY))["p95"],
        "peak_memory": peak,
        "total_memory": total,
        "filled": filled,
        "fits": fitting(batch_size, filled),
    }
    return section | {"notes": _batch_notes(section)}


def fitting(batch_size: float | None, filled: float | None) -> int | None:
    """The batch size, a power of two times the present one, that fits for sure.

    As if all memory grew with the batch; weights and optimizer state do not, so more may fit.
    """
    if not batch_size or not filled or filled <= 0:
        return None
    factor = 1
    while filled * factor * 2 <= FULL and factor < 1024:
        factor *= 2
    return int(batch_size) * factor


def _batch_notes(section: dict[str, Any]) -> list[dict[str, str]]:
    if section["gpu_p95"] is None:
        return [_NO_GPU]
    size, fits = section["batch_size"], section["fits"]
    if section["peak_memory"] and section["total_memory"]:
        memory = f"{gigabytes(section['peak_memory'])} of {gigabytes(section['total_memory'])} GB"
    elif section["filled"] is not None:
        memory = f"{section['filled']:.0%} of its memory"
    else:
        memory = "not known"
    what = f"GPU used {section['gpu_p95']:.0f}% at P95; peak memory {memory}"
    if size:
        what += f", with batch {size:g}"
    if section["gpu_p95"] >= P95:
        return [{"what": what + ".", "advice": "The GPU is busy: the batch size suits it."}]
    if size and fits and fits > size:
        return [
            {
                "what": f"{what}: batch {fits} would fit.",
                "advice": f"Try batch-size {fits}, and a learning rate raised with it.",
            }
        ]
    return [
        {
            "what": what + ".",
            "advice": "Its memory leaves no room for twice the batch: look for what the GPU waits "
            "for, or take a smaller one.",
        }
    ]


def memory_bytes(run: Run, devices: Devices) -> tuple[float | None, float | None]:
    """(peak, total) of the fullest GPU, where the job told of bytes.

    The peak is what the driver saw, where that was sampled: torch's allocator knows less than that.
    """
    device = run.facts.get("device")
    device = device if isinstance(device, dict) else {}
    if not device.get("count") and not devices.of(GPU):
        return None, None
    used = [float(np.nanmax(series.values)) for series in devices.of(GPU_MEMORY_BYTES)]
    peak = max(used, default=_number(run.facts.get("peak_memory_bytes")))
    return peak, _number(device.get("memory_bytes"))


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f}" if count < 9.95e9 else f"{count / 1e9:.0f}"


def gpu_memory_section(run: Run, devices: Devices, clock: Clock) -> dict[str, Any]:
    """Of the GPUs; where there is none, of the hosts."""
    found = devices.of(GPU_MEMORY)
    kind = "gpu" if found else "host"
    lines, growth = [], []
    for series in found or devices.of(MEMORY):
        x = np.asarray(series.times, dtype=np.float64) - clock.start
        y = np.asarray(series.values, dtype=np.float64)
        name = f"{series.node} {series.name}" if found else series.node
        lines.append(curve(name, x, y))
        rate = slope(x, y)
        points = None if rate is None else rate * float(x[-1] - x[0]) / 2 / _HOUR
        growth.append({"name": name, "per_hour": rate, "points": points})
    peak, total = memory_bytes(run, devices)
    return {
        "of": kind if lines else None,
        "lines": lines,
        "growth": growth,
        "peak_memory": peak,
        "total_memory": total,
        "notes": [_growth(found_, kind) for found_ in growth if found_["per_hour"] is not None]
        or [{"what": "No memory metric was saved.", "advice": "Nothing can be said."}],
    }


def slope(x: Numbers, y: Numbers) -> float | None:
    """Points of per cent an hour over the second half, where start-up no longer tells.

    Theil and Sen's: the median of slopes between the first and the second half's samples, so that
    single peaks do not count.
    """
    good = np.isfinite(y)
    x, y = x[good], y[good]
    late = x >= x[0] + (x[-1] - x[0]) / 2 if len(x) else np.zeros(0, dtype=bool)
    x, y = x[late], y[late]
    half = len(x) // 2
    if half < 5 or x[-1] - x[0] < 10:
        return None
    runs = x[-half:] - x[:half]
    return float(np.median((y[-half:] - y[:half])[runs > 0] / runs[runs > 0])) * _HOUR


def _growth(found: dict[str, Any], kind: str) -> dict[str, str]:
    what = (
        f"{found['name']}: memory changed by {found['points']:+.1f} points in the job's second "
        f"half ({found['per_hour']:+.1f} an hour)."
    )
    if found["per_hour"] < _GROWTH or found["points"] < _LEAST:
        return {"what": what, "advice": "No sign of a leak."}
    holds = (
        "tensors kept in a list, losses added up without .item()"
        if kind == "gpu"
        else ("lists that grow by the step, loader processes that copy the data")
    )
    return {"what": what, "advice": f"Look for {holds}."}


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
