"""Padding waste: the share of computed tokens that are padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.numbers import curve, statistics
from byoc.debugger.report.tensors import PADDING, Tensors

_WASTE = 0.25


def padding_section(saved: Tensors) -> dict[str, Any]:
    """Of the training batches whose ``input_ids`` were saved; ``share``: the mean over them."""
    found = list(saved.of(PADDING, "TRAIN", "GLOBAL").values())
    if not found:
        return {"share": None, "over_time": None, "statistics": None, "notes": []}
    steps, shares = found[0].arrays()
    whole = float(np.nanmean(shares))
    note = {
        "what": f"{whole:.1%} of the tokens in the saved training batches were padding.",
        "advice": f"Up to {1 / (1 - whole):.1f} times the speed: batches of texts of like length "
        "(length bucketing), each padded to its own longest text."
        if whole > _WASTE
        else "Dynamic padding and length bucketing do their work.",
    }
    return {
        "share": whole,
        "over_time": curve("padding", steps, shares),
        "statistics": statistics(shares),
        "notes": [note],
    }
