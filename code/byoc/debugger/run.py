"""A debugged job's output, read back: tensors, system metrics, phases, what training reported."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from byoc.debugger.layout import OPERATORS, TORCH_PROFILER


@dataclass(frozen=True)
class Series:
    """One metric of one device over time: ``times`` [n] in seconds since 1970, ``values`` [n].

    | kind (Type) | name (Name) | dimension (Dimension) |
    | --- | --- | --- |
    | cpu | cpu0, … | CPUUtilization, I/OWaitPercentage |
    | gpu | gpu0, … | GPUUtilization, GPUMemoryUtilization |
    | memory | MemoryUsedPercent | |
    | i/o | IOPS, ReadThroughputInBytesPerSecond, WriteThroughputInBytesPerSecond | |
    | network | ReceiveBytesPerSecond, TransmitBytesPerSecond | Algorithm, Platform |

    These are SageMaker's. Our sampler adds of a GPU GPUMemoryUsedBytes, GPUPowerWatts and
    GPUTemperatureCelsius, and MemoryUsedBytes of kind memory.
    """

    node: str
    """algo-1, …"""
    kind: str
    name: str
    dimension: str
    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Phases:
    """What the job did when, one row for each span; column arrays of one length.

    ``names``: Initialization, TrainLoop, Finalization for the job's three parts; Step, and within
    it DataLoading, Forward, Backward, Optimizer; Validation, Checkpoint; Hook for debugging's own
    time, part of its step where the span has one: see ``without_hook``. ``steps``: the
    optimizer step, the first one 0, or -1. On a GPU the parts of a step are the host's.
    """

    names: np.ndarray  # [n] str
    starts: np.ndarray  # [n] seconds since 1970
    seconds: np.ndarray  # [n]
    steps: np.ndarray  # [n] int
    nodes: np.ndarray  # [n] str

    def without_hook(self) -> np.ndarray:
        """[n]: ``seconds``, those of each Step less debugging's own time in it."""
        own = self.seconds.astype(np.float64)
        step = (self.names == "Step") & (self.steps >= 0)
        hook = (self.names == "Hook") & (self.steps >= 0)
        if not step.any() or not hook.any():
            return own
        places = np.unique(self.nodes, return_inverse=True)[1].reshape(-1)
        keys = places * (int(self.steps.max()) + 1) + np.maximum(self.steps, 0)
        spent = np.bincount(keys[hook], self.seconds[hook], minlength=int(keys.max()) + 1)
        own[step] = np.maximum(own[step] - spent[keys[step]], 0)
        return own


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
    """facts.json (`byoc.debugger.facts`), and ``metrics``: metrics.json."""
    held: Any = field(default=None, repr=False)
    """Keeps what was unpacked for as long as this object lives."""


def read(folder: Path) -> Run:
    """What a job has left: ``folder`` is its output/data, the debugger folder itself, one that
    holds its output.tar.gz, or one that SageMaker Debugger wrote (debug-output/, profiler-output/).

    Raises ``RunError`` where the folder is missing or its archive broken. What a killed job left
    torn is passed over.
    """
    # Only here, so that `Series` and `Phases` can be had from this module by those below.
    from byoc.debugger import places, system_metrics, timeline

    found = places.find(folder)
    run = Run(folder, tensors=found.tensors, held=found.held)
    run.history = _lines(found.history)
    run.facts = _json(found.facts, {})
    metrics = _json(found.metrics, {})
    if metrics:
        run.facts["metrics"] = metrics
    if found.system is not None:
        run.system = system_metrics.read(found.system)
    if found.framework is not None:
        spans = timeline.read(found.framework)
        run.phases = spans.phases
        run.operators = _operators(found.framework) or spans.operators
    return run


def _operators(profiler: Path) -> list[Operator]:
    """The sums that training wrote beside its traces, of all its hosts."""
    sums: dict[tuple[str, str], list[float]] = {}
    for path in sorted(profiler.glob(f"framework/{TORCH_PROFILER}/*{OPERATORS}")):
        for row in _json(path, []):
            total = sums.setdefault((row["name"], row["device"]), [0.0, 0])
            total[0] += row["total_us"]
            total[1] += row["calls"]
    return [Operator(*key, total, int(calls)) for key, (total, calls) in sums.items()]


def _json(path: Path | None, default: Any) -> Any:
    """``default`` for a file that is not there or not of that kind."""
    if path is None:
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default
    return content if isinstance(content, type(default)) else default


def _lines(path: Path | None) -> list[dict[str, float]]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # the last line of a job that was killed
    return found
