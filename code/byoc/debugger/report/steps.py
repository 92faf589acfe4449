"""Section 5: how long steps take, how that spreads, and which stand out."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.framework import STEP
from byoc.debugger.report.numbers import Numbers, curve, statistics
from byoc.debugger.run import Run

BINS = 48
MOST_OUTLIERS = 50
DEVIATIONS = 3.0
"""AWS's StepOutlier: a step is an outlier beyond so many standard deviations from the mean."""

_SPREAD = 5.0


def steps_section(run: Run) -> dict[str, Any]:
    phases = run.phases
    chosen = phases.names == STEP if phases is not None else np.zeros(0, dtype=bool)
    if phases is None or not chosen.any():
        return {
            "seconds": None,
            "per_second": None,
            "histogram": None,
            "over_time": None,
            "outliers": None,
            "notes": [],
        }
    steps = phases.steps[chosen].astype(np.float64)
    if (steps < 0).all():
        steps = np.arange(len(steps), dtype=np.float64)
    seconds = phases.without_hook()[chosen]
    found = statistics(seconds)
    outliers = _outliers(steps, seconds)
    return {
        "seconds": found,
        "per_second": 1 / found["mean"] if found["mean"] else None,
        "histogram": histogram(seconds),
        "over_time": curve("step duration", steps, seconds),
        "outliers": outliers,
        "notes": _notes(found, outliers, float(seconds.sum())),
    }


def histogram(values: Numbers) -> dict[str, Any]:
    """``edges`` [n + 1], ``counts`` [n]; logarithmic where the longest is far from the median."""
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high > _SPREAD * float(np.median(values))
    if high <= low:
        edges = np.asarray([low, high + (abs(high) or 1.0) * 1e-3])
    elif logarithmic:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high, BINS + 1)
    # Rounding in geomspace must not push the extremes out of the outer bins.
    edges[0], edges[-1] = low, max(edges[-1], high)
    counts = np.histogram(values, edges)[0]
    return {"scale": "log" if logarithmic else "linear", "edges": edges, "counts": counts}


def _outliers(steps: Numbers, seconds: Numbers) -> dict[str, Any]:
    threshold = float(seconds.mean() + DEVIATIONS * seconds.std())
    places = np.flatnonzero(seconds > threshold)
    longest = places[np.argsort(-seconds[places], kind="stable")][:MOST_OUTLIERS]
    shown = np.sort(longest)
    return {
        "count": len(places),
        "threshold": threshold,
        "seconds": float((seconds[places] - np.median(seconds)).sum()) if len(places) else 0.0,
        "steps": steps[shown],
        "durations": seconds[shown],
    }


def _notes(found: dict[str, Any], outliers: dict[str, Any], whole: float) -> list[dict[str, str]]:
    if not outliers["count"] or not whole:
        return []
    lost = outliers["seconds"] / whole
    worst = float(found["max"]) / float(found["p50"]) if found["p50"] else 0
    return [
        {
            "what": f"{outliers['count']} of {found['samples']} steps took longer than "
            f"{DEVIATIONS:g} standard deviations above the mean; the longest took "
            f"{worst:.1f} times the median. Beyond the median they cost "
            f"{outliers['seconds']:.3g} s, {lost:.1%} of the time of all steps.",
            "advice": "Little is to be won there."
            if lost < 0.02
            else "Look at what the timeline shows at those steps: checkpoints, data that come "
            "late, another program on the machine.",
        }
    ]
