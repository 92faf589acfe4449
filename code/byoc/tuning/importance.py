"""Which hyperparameters the objective hung on, as far as the trials can tell.

The measure is epsilon squared of the correlation ratio: the share of the variance of the trials'
ranks that lies between groups of one hyperparameter's values, less what as many groups would have
by chance. Ranks, so that one trial that went astray does not decide. It looks at one
hyperparameter at a time: what two of them do together only is not seen. Standard library only, so
that a tuning on SageMaker can be read without Optuna; Optuna's own fANOVA needs scikit-learn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

LEAST_TRIALS = 6
"""With fewer of them nothing can be said."""

_SHUFFLES = 400
_SURE = 0.95


@dataclass(frozen=True)
class Importance:
    """``share``: from 0 to 1; ``chance``: what 19 of 20 shufflings of the trials stay below, so
    that a share under it says nothing."""

    name: str
    share: float
    chance: float


def importances(
    values: Mapping[str, Sequence[float | str]], objectives: Sequence[float]
) -> list[Importance]:
    """The largest first. ``values``: by hyperparameter, one of each trial: numbers, which are put
    into groups of like size, or texts; ``objectives``: finite, in the same order.

    Empty where there are fewer than ``LEAST_TRIALS``, or all objectives are the same.
    """
    ranks = _ranks(objectives)
    if len(ranks) < LEAST_TRIALS or len(set(ranks)) == 1:
        return []
    found = []
    shuffled = random.Random(0)  # noqa: S311  (no secret hangs on it)
    for name, given in values.items():
        groups = _groups(given)
        if len(set(groups)) < 2:
            continue
        there = [*ranks]
        others = []
        for _ in range(_SHUFFLES):
            shuffled.shuffle(there)
            others.append(_share(groups, there))
        chance = sorted(others)[math.ceil(_SURE * _SHUFFLES) - 1]
        found.append(Importance(name, _share(groups, ranks), chance))
    return sorted(found, key=lambda it: -it.share)


def _ranks(values: Sequence[float]) -> list[float]:
    """Of equal values the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = (first + last) / 2
        first = last + 1
    return ranks


def _groups(values: Sequence[float | str]) -> list[object]:
    """The group of each value: itself, or for many different numbers a span of their ranks."""
    most = max(2, math.isqrt(len(values)))
    if len(set(values)) <= most or any(isinstance(value, str) for value in values):
        return [*values]
    ranks = _ranks([float(value) for value in values])
    return [int(rank * most / len(values)) for rank in ranks]


def _share(groups: Sequence[object], ranks: Sequence[float]) -> float:
    """Epsilon squared, from 0 to 1."""
    members: dict[object, list[float]] = {}
    for group, rank in zip(groups, ranks, strict=True):
        members.setdefault(group, []).append(rank)
    count, kinds = len(ranks), len(members)
    if count <= kinds:
        return 0.0  # every trial is a group of its own: that explains nothing
    middle = mean(ranks)
    total = sum((rank - middle) ** 2 for rank in ranks)
    within = sum((rank - mean(found)) ** 2 for found in members.values() for rank in found)
    return max(0.0, 1 - (within / total) * (count - 1) / (count - kinds))
