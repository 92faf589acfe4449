"""Which rows go to validation and test: a share of each label, no group and no text in two splits.

A pure function of the texts, the labels, the groups and the seed: neither the order of the rows
nor the library that draws random numbers changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.duplicates import Splits
from byoc.data.sources import SPLITS
from byoc.data.texts import Ids, Keys

Labels = npt.NDArray[np.int32]


def components(texts: Ids, groups: Ids | None) -> Ids:
    """[rows]: equal for rows that must lie together: they share a text, a group, or another row
    with which each of them does."""
    if groups is None:
        return texts
    found = texts
    while True:
        lowest = found
        for shared in (groups, texts):
            least = np.full(int(shared.max()) + 1, np.iinfo(np.int64).max)
            np.minimum.at(least, shared, lowest)
            lowest = least[shared]
        if np.array_equal(lowest, found):
            return found
        found = lowest


def split(
    keys: Keys, labels: Labels, together: Ids, fractions: Mapping[str, float], seed: int
) -> Splits:
    """[rows]: the split of each row, as its place in ``SPLITS``; ``fractions`` of those beside
    train.

    Rows that stand alone are dealt out exactly: each split has its fraction of every label. Of
    those that lie together with others each lot goes, in a random order, to the split that is
    furthest behind in the lot's labels; the lone rows then make up for what that leaves.
    """
    _, lots = np.unique(together, return_inverse=True)
    sizes = np.bincount(lots)
    rank = _rank(keys, lots, seed)
    wanted = _wanted(labels, fractions)
    given = {name: np.zeros_like(counts) for name, counts in wanted.items()}
    found = np.zeros(len(labels), np.int8)
    alone = sizes[lots] == 1
    for rows in _by_lot(lots, ~alone, rank):
        _deal(rows, labels, wanted, given, found)
    order = np.flatnonzero(alone)[np.argsort(rank[lots[alone]], kind="stable")]
    for label in range(len(wanted["train"])):
        rows, start = order[labels[order] == label], 0
        for name in fractions:
            need = max(0, int(wanted[name][label] - given[name][label]))
            found[rows[start : start + need]] = SPLITS.index(name)
            start += need
    return found


def _wanted(labels: Labels, fractions: Mapping[str, float]) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of each label by split: at least one in every split where there are enough."""
    counts = np.bincount(labels)
    wanted = {}
    left = counts.copy()
    for name, fraction in fractions.items():
        rows = np.maximum(np.round(counts * fraction).astype(np.int64), 1)
        wanted[name] = np.minimum(rows, np.maximum(left - 1, 0)) if fraction else rows * 0
        left = left - wanted[name]
    return {"train": left, **wanted}


def _rank(keys: Keys, lots: Ids, seed: int) -> npt.NDArray[np.uint64]:
    """[lots]: a random number of each, by the seed and by what is in it."""
    least = np.full(int(lots.max()) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, lots, keys[:, 0])
    return _mixed(least ^ _mixed(np.array([seed], np.uint64)))


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014): any change of a bit changes half of all."""
    found = values + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def _by_lot(lots: Ids, mask: npt.NDArray[np.bool_], rank: npt.NDArray[Any]) -> list[Ids]:
    """The rows of each lot among those that ``mask`` marks, by the lots' ranks."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return []
    rows = rows[np.lexsort((rows, lots[rows], rank[lots[rows]]))]
    return np.split(rows, np.flatnonzero(np.diff(lots[rows])) + 1)


def _deal(
    rows: Ids,
    labels: Labels,
    wanted: dict[str, npt.NDArray[np.int64]],
    given: dict[str, npt.NDArray[np.int64]],
    found: Splits,
) -> None:
    """Gives a lot to the split that is furthest behind, among those that have room for half of it;
    train takes what fits nowhere."""
    lot: Counter[int] = Counter(labels[rows].tolist())

    def behind(name: str) -> float:
        there, goal = given[name].tolist(), wanted[name].tolist()
        shares = {label: there[label] / goal[label] for label in lot if goal[label]}
        return float(sum(lot[label] * (1 - share) for label, share in shares.items()))

    def has_room(name: str) -> bool:
        left = (wanted[name] - given[name]).tolist()
        return 2 * int(sum(min(size, left[label]) for label, size in lot.items())) >= len(rows)

    roomy = [name for name in wanted if name != "train" and has_room(name)]
    chosen = max(["train", *roomy], key=behind)
    for label, size in lot.items():
        given[chosen][label] += size
    found[rows] = SPLITS.index(chosen)
