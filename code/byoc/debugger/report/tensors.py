"""What the report wants of the saved tensors, as columns over the steps, in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from byoc.debugger import events, names
from byoc.debugger.run import Run
from byoc.debugger.save import Save

PAD = 0
"""BERT's, DistilBERT's and most encoders' padding token, where the job does not tell another."""

GRADIENT = names.gradient("")
LOSS, PADDING, L2, ABS_MEAN = "loss", "padding", "l2", "abs_mean"
_KINDS = ((L2, ("l2", False)), (ABS_MEAN, ("mean", True)))


@dataclass
class Column:
    """One number over the saved steps of a mode."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both [n], in the order of the steps."""
        steps = np.asarray(self.steps, dtype=np.float64)
        order = np.argsort(steps, kind="stable")
        return steps[order], np.asarray(self.values, dtype=np.float64)[order]


@dataclass
class Tensors:
    """``columns`` by (kind, mode, name): kind is one of LOSS, PADDING, L2 and ABS_MEAN, the name
    that of the gradient's parameter."""

    pad: int = PAD
    columns: dict[tuple[str, str, str], Column] = field(default_factory=dict)
    saves: int = 0

    def of(self, kind: str, *modes: str) -> dict[str, Column]:
        """By name; of several modes the first that has any."""
        for mode in modes:
            found = {
                key[2]: column for key, column in self.columns.items() if key[:2] == (kind, mode)
            }
            if found:
                return found
        return {}

    def add(self, key: tuple[str, str, str], step: int, value: float) -> None:
        column = self.columns.get(key)
        if column is None:
            column = self.columns[key] = Column()
        column.steps.append(step)
        column.values.append(value)

    def take(self, save: Save) -> None:
        """Of one save the loss, the share of padding, and the size of each gradient."""
        self.saves += 1
        mode, step = save.mode.name, save.mode_step
        if names.LOSS in save.tensors or names.LOSS in save.reductions:
            loss = save.scalar(names.LOSS)
            if loss is not None:
                self.add((LOSS, mode, names.LOSS), step, loss)
        ids = save.whole(names.INPUT_IDS) if names.INPUT_IDS in save.tensors else None
        if ids is not None and ids.size:
            self.add((PADDING, mode, names.INPUT_IDS), step, float(np.mean(ids == self.pad)))
        for name, reductions in save.reductions.items():
            if name.startswith(GRADIENT):
                for kind, key in _KINDS:
                    if key in reductions:
                        self.add((kind, mode, name[len(GRADIENT) :]), step, reductions[key])
        for name in save.tensors:
            norm = save.reduction(name, "l2") if name.startswith(GRADIENT) else None
            if norm is not None:
                self.add((L2, mode, name[len(GRADIENT) :]), step, norm)


def tensors_of(run: Run) -> Tensors:
    """Empty; knows the run's padding token."""
    pad = run.facts.get("pad_token_id")
    return Tensors(pad if isinstance(pad, int) else PAD)


def read_tensors(run: Run) -> Tensors:
    """Of all of the run's saves."""
    found = tensors_of(run)
    if run.tensors is not None:
        for save in events.saves(run.tensors):
            found.take(save)
    return found
