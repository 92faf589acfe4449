"""Where values lie along an axis, and the round values that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from byoc.html.text import duration, number, size

Words = Callable[[float], str]


@dataclass(frozen=True)
class Scale:
    """Linear or logarithmic; ``low`` < ``high``, both above 0 where logarithmic."""

    low: float
    high: float
    logarithmic: bool = False
    words: Words = number

    def place(self, value: float) -> float:
        """0 at ``low``, 1 at ``high``."""
        if self.logarithmic:
            value = max(value, self.low * 1e-3)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """At most so many round values (one more at times) from ``low`` to ``high``."""
        if self.logarithmic:
            return _decades(self.low, self.high, most)
        step = _step((self.high - self.low) / most, self.words)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]


def fitted(values: list[float], words: Words = number, from_zero: bool = False) -> Scale:
    """A linear scale that holds all values, with some air."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero and low >= 0:
        return Scale(0.0, high * 1.05 or 1.0, words=words)
    air = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    bottom = max(0.0, low - air) if low >= 0 else low - air
    return Scale(bottom, high + air, words=words)


def fitted_log(values: list[float], words: Words = number) -> Scale:
    """A logarithmic one of the values above 0."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    if high < low * 4:
        low, high = low / 2, high * 2
    return Scale(low / 1.1, high * 1.1, True, words)


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        return _between(low, high, most)
    stride = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1, stride)]


def _between(low: float, high: float, most: int) -> list[float]:
    """Within one decade: 1, 2 and 5."""
    found = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
        if low <= factor * 10.0**power <= high
    ]
    return found[:most] or [math.sqrt(low * high)]


_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)


def _step(rough: float, words: Words) -> float:
    """The next larger of 1, 2, 5 times a power of ten; of times, of what clocks show."""
    if words is clock_words and 1 <= rough <= _SECONDS[-1]:
        return float(next(step for step in _SECONDS if step >= rough))
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def clock_words(seconds: float) -> str:
    """Short, for an axis: 0, 30 s, 5 min, 1:30 h."""
    if not seconds:
        return "0"
    if seconds >= 3600:
        minutes = round(seconds / 60)
        return f"{minutes // 60}:{minutes % 60:02d} h"
    if seconds >= 60:
        whole = round(seconds)
        return f"{whole // 60} min" if whole % 60 == 0 else f"{whole // 60}:{whole % 60:02d} min"
    return duration(seconds)


def whole_words(value: float) -> str:
    """For counts: nothing stands beside what is not whole."""
    return number(round(value)) if abs(value - round(value)) < 1e-9 else ""


def percent_words(value: float) -> str:
    return f"{value:g}%"


def share_words(value: float) -> str:
    return f"{value * 100:g}%"


def size_words(value: float) -> str:
    return size(value)


def rate_words(value: float) -> str:
    return size(value, per_second=True)
