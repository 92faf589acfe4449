"""A max length and a batch size to begin with, and why."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.data.explore.lengths import MAX_LENGTHS, cut_share
from byoc.data.explore.pieces import Pieces
from byoc.data.explore.tally import Tally

CUT = 0.005
"""Of 1,000 rows five may be cut before a longer limit is asked for."""
BATCHES = (64, 32, 16, 8)
STEPS = 50
"""An epoch of fewer steps is too coarse for a schedule and for early stopping."""
TOKENS = 8192
"""Of a batch of the longest texts: a rule of thumb for an encoder of BERT-base's size in half
precision on 16 GB."""
LARGE = 100_000
"""Rows from which a batch of 64 saves more time than it costs in steps."""


def suggestion(train: Tally, pieces: Pieces | None) -> dict[str, Any]:
    """``max_length`` (None where no word pieces were counted), ``batch_size``, and a reason for
    each."""
    limit, why = _max_length(train, pieces)
    size, reason = _batch_size(train, limit)
    return {
        "max_length": limit,
        "max_length_reason": why,
        "batch_size": size,
        "batch_size_reason": reason,
    }


def _max_length(train: Tally, pieces: Pieces | None) -> tuple[int | None, str]:
    lengths = train.pieces
    if pieces is None or lengths is None:
        return None, "no word pieces were counted: give --model"
    most = pieces.limit or MAX_LENGTHS[-1]
    allowed = [limit for limit in MAX_LENGTHS if limit < most] + [min(most, MAX_LENGTHS[-1])]
    longest = int(lengths.max())
    chosen = next((limit for limit in allowed if cut_share(lengths, limit) <= CUT), allowed[-1])
    share = cut_share(lengths, chosen)
    padding = "batches are padded to their own longest text, so a higher limit costs little"
    if not share:
        return chosen, f"the longest text has {longest} word pieces, nothing is cut; {padding}"
    if share <= CUT:
        return chosen, f"it cuts {share:.2%} of the rows (the longest has {longest}); {padding}"
    whose = "this model takes" if pieces.limit == chosen else "is looked at here"
    return chosen, (
        f"the most that {whose}; it cuts {share:.1%} of the rows: split long texts, or take an "
        "encoder with more positions"
    )


def _batch_size(train: Tally, limit: int | None) -> tuple[int, str]:
    rows = len(train)
    lengths = train.pieces
    # A text has about four word pieces for three words, where nobody has counted them.
    typical = float(np.percentile(train.word_counts * 4 / 3 if lengths is None else lengths, 95))
    width = max(1, min(round(typical), limit or MAX_LENGTHS[-1]))
    wanted = 64 if rows >= LARGE else 32
    for size in BATCHES:
        if size <= wanted and size * width <= TOKENS and (rows / size >= STEPS or size == 8):
            steps = -(-rows // size)
            return size, (
                f"{steps:,} steps an epoch; {size * width:,} tokens in a batch of the 95th "
                f"percentile ({width}), of {TOKENS:,} that suit 16 GB as a rule of thumb"
            )
    return BATCHES[-1], f"texts of {width} word pieces (95th percentile) leave room for no more"
