"""Numbers, durations and times as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "\u2013"

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def number(value: object, digits: int = 3) -> str:
    """Three significant digits, thousands apart: 1,234, 0.0123, 1.2e-07."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else str(value)
    if isinstance(value, int) or (abs(value) < 1e15 and float(value).is_integer()):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.{digits}g}"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.{digits}g}"
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """Of a share between 0 and 1."""
    if share is None:
        return NOTHING
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


def duration(seconds: float | None) -> str:
    """1 h 02 min, 3 min 05 s, 4.2 s, 31 ms."""
    if seconds is None:
        return NOTHING
    if seconds >= 3600:
        whole = round(seconds / 60)
        return f"{whole // 60} h {whole % 60:02d} min"
    if seconds >= 60:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.3g} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def moment(seconds: float | None) -> str:
    """A time in seconds since 1970."""
    if not seconds:
        return NOTHING
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def size(count: float | None, per_second: bool = False) -> str:
    """Bytes by powers of 1000: 1.5 GB, 20 MB/s."""
    if count is None:
        return NOTHING
    place = 0
    while abs(count) >= 999.5 and place < len(_SIZES) - 1:
        count /= 1000
        place += 1
    return f"{count:.3g} {_SIZES[place]}" + ("/s" if per_second else "")


def measured(value: float | None, unit: str) -> str:
    """With the unit of a system metric."""
    if value is None:
        return NOTHING
    if unit in ("B", "B/s"):
        return size(value, per_second=unit == "B/s")
    if unit == "%":
        return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%"
    return f"{number(value)} {unit}".strip()
