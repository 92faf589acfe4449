"""Rows whose text stands elsewhere too: how many, and where."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.sources import SPLITS
from byoc.data.texts import Ids, first_rows

Splits = npt.NDArray[np.int8]
"""[rows]: the place of each row's split in ``SPLITS``."""


def count(exact: Ids, normalised: Ids, labels: npt.NDArray[Any], splits: Splits) -> dict[str, Any]:
    """``exact`` and ``normalised``: rows beyond the first of each text, all splits together;
    ``conflicting``: normalised texts with more than one label, and their rows; ``across``: rows of
    the first split of a pair whose text the second one has too."""
    return {
        "exact": int(len(exact) - first_rows(exact).sum()),
        "normalised": int(len(normalised) - first_rows(normalised).sum()),
        "conflicting": _conflicting(normalised, labels),
        "across": _across(exact, normalised, splits),
    }


def conflicts(normalised: Ids, labels: npt.NDArray[Any]) -> Ids:
    """The normalised texts that have more than one label."""
    if not len(normalised):
        return normalised
    several = int(labels.max()) + 1
    combined = np.unique(normalised * several + labels)
    texts, found = np.unique(combined // several, return_counts=True)
    return np.asarray(texts[found > 1])


def _conflicting(normalised: Ids, labels: npt.NDArray[Any]) -> dict[str, int]:
    found = conflicts(normalised, labels)
    return {"texts": len(found), "rows": int(np.isin(normalised, found).sum())}


def _across(exact: Ids, normalised: Ids, splits: Splits) -> dict[str, dict[str, int]]:
    there = sorted(set(splits.tolist()))
    return {
        f"{SPLITS[one]} and {SPLITS[other]}": {
            name: int(np.isin(ids[splits == one], ids[splits == other]).sum())
            for name, ids in (("exact", exact), ("normalised", normalised))
        }
        for one, other in combinations(there, 2)
    }


def kept(normalised: Ids, splits: Splits) -> npt.NDArray[np.bool_]:
    """True for one row of each normalised text: the first one of the split furthest from training,
    so that what is held out stays as it was given."""
    order = np.lexsort((np.arange(len(splits)), -splits.astype(np.int64), normalised))
    mask = np.zeros(len(normalised), np.bool_)
    mask[order[first_rows(normalised[order])]] = True
    return mask
