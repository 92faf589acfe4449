"""Hyperparameters as axes: where each value of a trial lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from byoc.html.scale import Scale, fitted
from byoc.html.text import number
from byoc.tuning.ranges import Categorical, is_logarithmic
from byoc.tuning.results import TrialResult, TuningResult

_LONGEST = 10
"""Characters of a name beside an axis; the table of trials has it whole."""


@dataclass(frozen=True)
class Names(Scale):
    """Names in order, evenly apart; the places of their ticks are 0, 1, 2, …"""

    names: tuple[str, ...] = ()

    def ticks(self, most: int) -> list[float]:
        stride = max(1, -(-len(self.names) // most))
        return [float(place) for place in range(0, len(self.names), stride)]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter's."""

    name: str
    scale: Scale

    @property
    def is_named(self) -> bool:
        return isinstance(self.scale, Names)

    def value(self, trial: TrialResult) -> float | None:
        """On the scale; None where the trial has none, or none that belongs there."""
        text = trial.values.get(self.name)
        if text is None:
            return None
        if isinstance(self.scale, Names):
            return float(self.scale.names.index(text)) if text in self.scale.names else None
        return to_number(text)


def to_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def axes(result: TuningResult) -> list[Axis]:
    """One for each tuned hyperparameter: by its range, else by the values that the trials had."""
    ranges = {it.name: it for it in result.ranges}
    seen = dict.fromkeys(name for trial in result.trials for name in trial.values)
    found = []
    for name in [*ranges, *(name for name in seen if name not in ranges)]:
        it = ranges.get(name)
        if it is None:
            texts = [trial.values[name] for trial in result.trials if name in trial.values]
            found.append(Axis(name, _by_values(texts)))
        elif isinstance(it, Categorical):
            found.append(Axis(name, _named(it.values)))
        else:
            found.append(Axis(name, Scale(it.low, it.high, is_logarithmic(it), number)))
    return found


def _by_values(texts: Sequence[str]) -> Scale:
    numbers = [to_number(text) for text in texts]
    known = [value for value in numbers if value is not None]
    if len(known) == len(texts):
        return fitted(known)
    return _named(tuple(dict.fromkeys(texts)))


def _named(names: tuple[str, ...]) -> Names:
    def words(place: float) -> str:
        name = names[min(max(round(place), 0), len(names) - 1)]
        return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"

    return Names(-0.5, len(names) - 0.5, words=words, names=names)
