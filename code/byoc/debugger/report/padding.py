"""Padding waste: the share of computed tokens that are padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from byoc.debugger.report.numbers import curve, statistics
from byoc.debugger.report.tensors import PADDING, Tensors
from byoc.debugger.run import Run

_WASTE = 0.25


def padding_section(run: Run, saved: Tensors) -> dict[str, Any]:
    """``share``: of all training batches where the job counted them, else the mean over those whose
    ``input_ids`` were saved; ``over_time``: of the saved ones."""
    found = list(saved.of(PADDING, "TRAIN", "GLOBAL").values())
    steps, shares = found[0].arrays() if found else (np.zeros(0), np.zeros(0))
    counted = _counted(run)
    if counted is None and not len(shares):
        return {"share": None, "over_time": None, "statistics": None, "notes": []}
    whole = float(np.nanmean(shares)) if counted is None else counted
    batches = "the saved training batches" if counted is None else "the training batches"
    note = {
        "what": f"{whole:.1%} of the tokens in {batches} were padding.",
        "advice": f"Up to {1 / (1 - whole):.1f} times the speed: batches of texts of like length "
        "(length bucketing), each padded to its own longest text."
        if whole > _WASTE
        else "Dynamic padding and length bucketing do their work.",
    }
    return {
        "share": whole,
        "over_time": curve("padding", steps, shares) if found else None,
        "statistics": statistics(shares) if found else None,
        "notes": [note],
    }


def _counted(run: Run) -> float | None:
    real, computed = run.facts.get("real_tokens"), run.facts.get("computed_tokens")
    if not isinstance(real, int) or not isinstance(computed, int) or computed <= 0:
        return None
    return 1 - real / computed
