"""Percentiles, shares, and long series cut down to what a screen can show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

COLUMNS = 600
"""Columns that a long series is cut into: about one for each two pixels of a wide plot."""

_DIGITS = 6


def statistics(values: Numbers) -> dict[str, Any]:
    """``samples``, max, p99, p95, p50, p5, min and mean of the finite values; None without any.

    Percentiles interpolate linearly between samples, as numpy's and AWS's do.
    """
    finite = values[np.isfinite(values)]
    found: dict[str, Any] = {"samples": len(finite)}
    if not len(finite):
        return found | dict.fromkeys(("max", "p99", "p95", "p50", "p5", "min", "mean"))
    p99, p95, p50, p5 = np.percentile(finite, [99, 95, 50, 5])
    found.update(max=finite.max(), p99=p99, p95=p95, p50=p50, p5=p5)
    found.update(min=finite.min(), mean=finite.mean())
    return found


def share(part: float, whole: float) -> float | None:
    """Between 0 and 1; None of nothing."""
    return part / whole if whole > 0 else None


def curve(name: str, x: Numbers, y: Numbers, columns: int = COLUMNS) -> dict[str, Any]:
    """A series as report.json has it.

    Up to twice ``columns`` samples are kept as they are: ``x`` and ``mean``. More are cut into
    ``columns`` columns of equal width; of each that has samples ``x`` is the middle, ``mean`` the
    mean, and ``low`` and ``high`` are its extremes, so that no peak is lost. ``samples`` counts
    all, ``not_finite`` those that are NaN or infinite and are left out.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    good = np.isfinite(y) & np.isfinite(x)
    found: dict[str, Any] = {
        "name": name,
        "samples": len(x),
        "not_finite": int(len(x) - good.sum()),
    }
    x, y = x[good], y[good]
    if len(x) <= 2 * columns:
        return found | {"x": x, "mean": y}
    starts, middles = bins(x, columns)
    counts = np.diff(np.append(starts, len(x)))
    return found | {
        "x": middles,
        "mean": np.add.reduceat(y, starts) / counts,
        "low": np.minimum.reduceat(y, starts),
        "high": np.maximum.reduceat(y, starts),
    }


def bins(x: Numbers, columns: int) -> tuple[NDArray[np.int64], Numbers]:
    """Where each filled column of sorted ``x`` starts, and the columns' middles; both [filled]."""
    first, last = float(x[0]), float(x[-1])
    width = (last - first) / columns or 1.0
    places = np.minimum(((x - first) / width).astype(np.int64), columns - 1)
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    return starts, first + (places[starts] + 0.5) * width


def plain(value: Any) -> Any:
    """For strict JSON: arrays as lists, six digits, null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return _rounded(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _rounded(value: float) -> float | int:
    # Large values are times in seconds since 1970 or bytes: their last digits count.
    if abs(value) >= 10**_DIGITS:
        return round(value, 3)
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
