"""Lengths as percentiles, histograms and the share that each max length cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.explore.tally import Tally

MAX_LENGTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99, 99.9)
BINS = 40

Lengths = npt.NDArray[Any]


def lengths_of(tally: Tally, with_pieces: bool) -> dict[str, Any]:
    """``characters``, ``words`` and, where they were counted, ``pieces`` with ``cut``."""
    found = {"characters": describe(tally.characters), "words": describe(tally.word_counts)}
    if with_pieces and tally.pieces is not None:
        cut = {str(limit): cut_share(tally.pieces, limit) for limit in MAX_LENGTHS}
        found["pieces"] = {**describe(tally.pieces), "cut": cut}
    return found


def describe(lengths: Lengths) -> dict[str, Any]:
    """Mean, extremes, percentiles and a histogram up to the 99.9th one; beyond it the last bin."""
    found = np.percentile(lengths, PERCENTILES, method="inverted_cdf")
    percentiles = {f"{at:g}": int(value) for at, value in zip(PERCENTILES, found, strict=True)}
    low, high = int(lengths.min()), max(int(percentiles["99.9"]), int(lengths.min()) + 1)
    width = -(-(high + 1 - low) // BINS)
    edges = list(range(low, high + 1 + width, width))
    places = np.minimum((lengths - low) // width, len(edges) - 2)
    return {
        "mean": float(lengths.mean()),
        "shortest": int(lengths.min()),
        "longest": int(lengths.max()),
        "percentiles": percentiles,
        "histogram": {
            "edges": edges,
            "counts": np.bincount(places, minlength=len(edges) - 1).tolist(),
        },
    }


def cut_share(lengths: Lengths, limit: int) -> float:
    """The share of rows that lose word pieces where at most ``limit`` are taken."""
    return float((lengths > limit).mean())
