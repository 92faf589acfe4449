"""How much a split differs from train, beside how much as many rows of train itself do.

The measures: labels, the total variation distance of the shares (half the sum of their
differences); lengths, the Kolmogorov-Smirnov distance (the largest difference of the two
cumulative shares); words, the Jensen-Shannon distance and the share of occurrences whose word train
has not. All grow by chance where a split is small, so each is taken a second time, of a sample of
train against the rest of train.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.explore.tally import Tally
from byoc.data.explore.words import Vocabulary, distance, unseen

Measures = dict[str, float]

NAMES = {
    "labels": "labels: total variation distance",
    "lengths": "lengths: Kolmogorov-Smirnov distance",
    "words": "words: Jensen-Shannon distance",
    "unseen": "words that train has not: share of occurrences",
}
CRITICAL = 1.63
"""Of the two-sample Kolmogorov-Smirnov test at 1%, times the root of 1/n + 1/m: one sample of train
alone says too little of what chance gives. Two labels' variation distance is the same distance."""
_TESTED = ("labels", "lengths")
_SMALL = {"labels": 0.02, "lengths": 0.03, "words": 0.05, "unseen": 0.02}
"""Less than so much more than chance is told of nobody."""


def drift(train: Tally, other: Tally) -> list[dict[str, Any]]:
    """A record for each measure: found, by chance, and whether the first is notable: above twice
    what chance gives, and by more than a trifle."""
    sample, rest = train.sampled(), train.unsampled()
    found = _measure((other.labels, other.lengths, other.vocabulary), train.all())
    chance = _measure(sample, rest)
    noise = CRITICAL * math.sqrt(1 / len(train) + 1 / len(other))
    return [
        {
            "measure": name,
            "found": found[name],
            "by_chance": chance[name],
            "notable": found[name]
            > max(2 * chance[name], chance[name] + _SMALL[name], noise if name in _TESTED else 0),
        }
        for name in NAMES
    ]


Part = tuple[npt.NDArray[Any], npt.NDArray[Any], Vocabulary]
"""Label numbers [rows], lengths [rows], words."""


def _measure(one: Part, other: Part) -> Measures:
    return {
        "labels": variation(one[0], other[0]),
        "lengths": kolmogorov_smirnov(one[1], other[1]),
        "words": distance(one[2], other[2]),
        "unseen": unseen(one[2], other[2]),
    }


def variation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    size = int(max(one.max(initial=0), other.max(initial=0))) + 1
    shares = [np.bincount(part, minlength=size) / max(1, len(part)) for part in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def kolmogorov_smirnov(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if not len(one) or not len(other):
        return 0.0
    size = int(max(one.max(), other.max())) + 1
    shares = [np.cumsum(np.bincount(part, minlength=size)) / len(part) for part in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())
