"""The lines that training prints for SageMaker to read, and the expressions that match them.

One home for both sides: training prints with ``metric_line``; training and tuning requests carry
``METRIC_DEFINITIONS``; local tuning reads a job's log with the same expressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

METRICS = ("val_loss", "val_mcc", "val_accuracy", "val_f1", "train_loss")

_NUMBER = r"([-+]?(?:[0-9]*\.)?[0-9]+(?:[eE][-+]?[0-9]+)?|nan|inf)"

METRIC_DEFINITIONS: tuple[dict[str, str], ...] = tuple(
    {"Name": name, "Regex": rf"\b{name}={_NUMBER}"} for name in METRICS
)
"""As AlgorithmSpecification.MetricDefinitions wants them (at most 40, each at most 500 long)."""


def metric_line(values: Mapping[str, float]) -> str:
    """``epoch=3 val_loss=0.41 …`` in the order given."""
    return " ".join(f"{name}={value:.6g}" for name, value in values.items())


def read_metrics(log: str) -> dict[str, list[float]]:
    """Every value of every known metric in a log, in order of appearance."""
    return {
        definition["Name"]: [float(found) for found in re.findall(definition["Regex"], log)]
        for definition in METRIC_DEFINITIONS
    }
