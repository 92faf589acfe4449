"""The confusion matrix, and MCC, accuracy and F1 from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[int] | npt.NDArray[np.int64]


def scores(labels: Numbers, predictions: Numbers, classes: int) -> dict[str, float]:
    """``mcc``, ``accuracy`` and ``f1``.

    MCC for more than two classes is Gorodkin's R_K. F1 is that of class 1 where there are two
    classes, else the mean over classes. Where a score is undefined (one class only) it is 0.
    """
    matrix = confusion_matrix(labels, predictions, classes)
    per_class = _f1(matrix)
    return {
        "mcc": _mcc(matrix),
        "accuracy": float(np.trace(matrix) / max(1, matrix.sum())),
        "f1": float(per_class[1] if classes == 2 else per_class.mean()),
    }


def confusion_matrix(labels: Numbers, predictions: Numbers, classes: int) -> npt.NDArray[np.int64]:
    """[classes, classes]: rows by label, columns by prediction."""
    places = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def _mcc(matrix: npt.NDArray[np.int64]) -> float:
    # Python's integers, not numpy's: the products outgrow 64 bits on large tables.
    true = [int(count) for count in matrix.sum(axis=1)]
    predicted = [int(count) for count in matrix.sum(axis=0)]
    total, correct = sum(true), int(np.trace(matrix))
    covariance = correct * total - sum(t * p for t, p in zip(true, predicted, strict=True))
    spread = (total**2 - sum(p * p for p in predicted)) * (total**2 - sum(t * t for t in true))
    return covariance / math.sqrt(spread) if spread else 0.0


def _f1(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    hits = np.diag(matrix).astype(np.float64)
    totals: npt.NDArray[np.float64] = np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1.0)
    return 2 * hits / totals
