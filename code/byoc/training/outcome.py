"""What a job has led to: the source of the results, of the model card and of the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.scores import confusion_matrix
from byoc.training.config import TrainingConfig
from byoc.training.history import History
from byoc.training.sources import Splits


@dataclass(frozen=True)
class Scored:
    """A split under the final model: ``probabilities`` [rows, classes], ``labels`` [rows], both in
    the order of the split's rows."""

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """[rows]: the likeliest class."""
        found: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return found

    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """[labels, predictions]"""
        return confusion_matrix(self.labels, self.predictions, self.probabilities.shape[1])


@dataclass(frozen=True)
class Outcome:
    """``source``: the model that training started from; ``precision``: Lightning's name of it;
    ``metrics`` of the epoch that was kept (empty where a stop came before the first one's end);
    ``scored``: validation and perhaps test, nothing after a stop; ``ended_by``: the rule that ended
    training early, if one did."""

    config: TrainingConfig
    source: str
    precision: str
    splits: Splits
    metrics: dict[str, float]
    history: History
    scored: dict[str, Scored] = field(default_factory=dict)
    ended_by: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """metrics.json's content."""
        return {**self.metrics, **({"ended_by_rule": self.ended_by} if self.ended_by else {})}
