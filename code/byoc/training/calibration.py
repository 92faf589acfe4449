"""Does a probability of 0.8 mean right in eight of ten cases? Calibration of a classifier.

Guo et al., "On Calibration of Modern Neural Networks", 2017; the Brier score in its form for
several classes: the squared distance between the probabilities and the one-hot label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Rows whose ``confidence`` (the likeliest class's probability) lies in (low, high]."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """``error``: the expected calibration error, the mean over the rows of how far confidence and
    accuracy of their bin lie apart; ``brier``: from 0 to 2."""

    error: float
    brier: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "expected_calibration_error": self.error,
            "brier_score": self.brier,
            "bins": [vars(found) for found in self.bins],
        }


def calibration(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], bins: int = BINS
) -> Calibration:
    """Of ``probabilities`` [rows, classes] and ``labels`` [rows]; empty bins have only zeros."""
    exact = probabilities.astype(np.float64)
    confidence, right = exact.max(axis=1), exact.argmax(axis=1) == labels
    # Bin k holds (k / bins, (k + 1) / bins]: the edges belong to the bin below.
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(places, minlength=bins)
    shares = np.maximum(rows, 1)
    means = np.bincount(places, confidence, bins) / shares
    hits = np.bincount(places, right.astype(np.float64), bins) / shares
    total = max(1, len(labels))
    # |p - y|^2 of a one-hot y is |p|^2 - 2 p[label] + 1.
    distance = (exact**2).sum(axis=1) - 2 * exact[np.arange(len(labels)), labels] + 1
    return Calibration(
        float((rows * np.abs(means - hits)).sum() / total),
        float(distance.sum() / total),
        tuple(
            Bin(k / bins, (k + 1) / bins, int(rows[k]), float(means[k]), float(hits[k]))
            for k in range(bins)
        ),
    )
