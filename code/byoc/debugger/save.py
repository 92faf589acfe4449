"""One save of a debugged job: what smdebug's hook wrote for one step of one mode."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from smdebug.core.modes import ModeKeys

Reductions = dict[tuple[str, bool], float]
"""By smdebug's (reduction name, of absolute values): ("mean", True), ("l2", False), …"""


@dataclass
class Save:
    """``step`` counts over all modes, ``mode_step`` within ``mode``; ``time``: seconds since 1970.

    ``tensors``: whole tensors, or functions that read them from disk when first asked for.
    ``reductions``: what stands for a tensor that was not saved whole.
    """

    step: int
    mode: ModeKeys
    mode_step: int
    time: float
    tensors: dict[str, np.ndarray | Callable[[], np.ndarray]] = field(default_factory=dict)
    reductions: dict[str, Reductions] = field(default_factory=dict)
    _names: tuple[str, ...] | None = field(default=None, repr=False, compare=False)

    def names(self) -> tuple[str, ...]:
        """Of all that was saved, sorted."""
        if self._names is None:
            self._names = tuple(sorted({*self.tensors, *self.reductions}))
        return self._names

    def whole(self, name: str) -> np.ndarray | None:
        """The tensor, or None where only reductions were saved."""
        value = self.tensors.get(name)
        return value() if callable(value) else value

    def reduction(self, name: str, of: str, absolute: bool = False) -> float | None:
        """smdebug's reduction ``of``: as it was saved, else from the whole tensor, else None."""
        saved = self.reductions.get(name, {})
        value = saved.get((of, absolute))
        if value is not None:
            return value
        if of == "variance" and (std := saved.get(("std", absolute))) is not None:
            return std * std
        if of == "std" and (variance := saved.get(("variance", absolute))) is not None:
            return float(np.sqrt(variance))
        tensor = self.whole(name)
        return None if tensor is None or not tensor.size else reduce(tensor, of, absolute)

    def scalar(self, name: str) -> float | None:
        """A loss, or another tensor that stands for one number: its mean."""
        return self.reduction(name, "mean")


def reduce(tensor: np.ndarray, of: str, absolute: bool = False) -> float:
    """smdebug's reductions min, max, mean, std, variance, sum, prod, l1 and l2 of a tensor."""
    if np.size(tensor) == 1:  # losses and percentiles: numpy's way takes ten times as long
        value = float(np.asarray(tensor).reshape(-1)[0])
        if of in ("std", "variance"):
            return 0.0 if math.isfinite(value) else math.nan
        return abs(value) if absolute or of in ("l1", "l2") else value
    values = np.asarray(tensor, dtype=np.float64)
    if absolute or of == "l1":
        values = np.abs(values)
    with warnings.catch_warnings():  # a tensor with inf has no std, and need not say so
        warnings.simplefilter("ignore", RuntimeWarning)
        if of == "l2":
            return float(np.sqrt(np.sum(values * values)))
        name = {"l1": "sum", "variance": "var"}.get(of, of)
        return float(getattr(np, name)(values))
