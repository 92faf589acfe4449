"""A debugged job's output, read back: tensors, system metrics, phases, what training reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Series:
    """One metric of one device over time: ``times`` [n] in seconds since 1970, ``values`` [n]."""

    node: str
    """algo-1, …"""
    kind: str
    """SageMaker's Type: cpu, gpu, …"""
    name: str
    """cpu0, gpu0, …"""
    dimension: str
    """CPUUtilization, GPUUtilization, GPUMemoryUtilization, …"""
    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Phases:
    """What the job did when, one row for each span; column arrays of one length.

    ``names``: Initialization, TrainLoop, Finalization for the job's three parts; Step, and within
    it DataLoading, Forward, Backward, Optimizer; Validation, Checkpoint; Hook for debugging's own
    time. ``steps``: the optimizer step, or -1.
    """

    names: np.ndarray  # [n] str
    starts: np.ndarray  # [n] seconds since 1970
    seconds: np.ndarray  # [n]
    steps: np.ndarray  # [n] int
    nodes: np.ndarray  # [n] str


@dataclass(frozen=True)
class Operator:
    """Of torch.profiler, summed over the profiled steps; microseconds."""

    name: str
    device: str  # cpu or gpu
    total_us: float
    calls: int


@dataclass
class Run:
    """``read`` makes it; parts that the job did not leave are empty."""

    folder: Path
    tensors: Path | None = None
    """For smdebug's ``create_trial``."""
    system: list[Series] = field(default_factory=list)
    phases: Phases | None = None
    operators: list[Operator] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    """The lines of output/data/metrics.jsonl."""
    facts: dict[str, Any] = field(default_factory=dict)
    """job name, hyperparameters, versions, rows, device, batch size, metrics, start and end."""
