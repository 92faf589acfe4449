"""Runs and rule results that the report's tests are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from byoc.debugger.findings import Finding, RuleResult
from byoc.debugger.run import Operator, Phases, Run, Series

START = 1_780_000_000.0
NASTY = "<script>alert(1)</script>&\"'"


def series(
    values: Any, dimension: str = "GPUUtilization", name: str = "gpu0", tick: float = 0.5
) -> Series:
    kind = name.rstrip("0123456789")
    if kind not in ("cpu", "gpu"):
        kind = "memory"
    times = START + tick * np.arange(len(values))
    return Series("algo-1", kind, name, dimension, times, np.asarray(values, np.float64))


def phases(*rows: tuple[str, float, float, int]) -> Phases:
    """Of (name, start since the job's start, seconds, step)."""
    names, starts, seconds, steps = zip(*rows, strict=True)
    return Phases(
        np.array(names),
        START + np.array(starts, np.float64),
        np.array(seconds, np.float64),
        np.array(steps),
        np.array(["algo-1"] * len(rows)),
    )


def job(seconds: float = 100.0, **facts: Any) -> Run:
    """One GPU at 31%, 4.1 of 15 GB in use, ten steps, one of them slow."""
    ticks = int(2 * seconds)
    rows = [("Initialization", 0, 10, -1), ("TrainLoop", 10, 80, -1), ("Finalization", 90, 10, -1)]
    rows += [("Step", 10 + 2 * step, 2.0, step) for step in range(30)]
    rows += [("Step", 70, 20.0, 30)]
    rows += [("DataLoading", 10 + 2 * step, 0.5, step) for step in range(30)]
    return Run(
        Path("somewhere"),
        system=[
            series(np.full(ticks, 31.0)),
            series(np.full(ticks, 27.0), "GPUMemoryUtilization"),
            series(np.full(ticks, 4.1e9), "GPUMemoryUsedBytes"),
            series(np.linspace(0, 100, ticks), "CPUUtilization", "cpu0"),
            series(np.full(ticks, 20.0), "CPUUtilization", "cpu1"),
            series(np.full(ticks, 1.0), "I/OWaitPercentage", "cpu0"),
        ],
        phases=phases(*rows),
        operators=[Operator("aten::mm", "cpu", 3e6, 10), Operator("aten::add", "cpu", 1e6, 5)],
        history=[
            *({"step": step, "epoch": 0.1, "train_loss": 1 / step, "lr": 1e-5} for step in (1, 2)),
            {"step": 2, "epoch": 1, "train_loss": 0.7, "val_loss": 0.8, "val_mcc": 0.1},
        ],
        facts={
            "job": "a-job",
            "started": START,
            "ended": START + seconds,
            "batch_size": 32,
            "device": {"name": "T4", "count": 1, "memory_bytes": 15_000_000_000},
            "hyperparameters": {"lr": "5e-5"},
            **facts,
        },
    )


def results() -> list[RuleResult]:
    """One rule that fired, one that did not, one that could not be evaluated."""
    finding = Finding(
        "Overfit", "Loss is up.", "Stop earlier.", step=4, mode="EVAL", time=START + 9
    )
    common: dict[str, Any] = {"kind": "tensor", "parameter_set": "recommended"}
    return [
        RuleResult("AllZero", parameters={}, status="quiet", evaluated=3, **common),
        RuleResult("DeadRelu", parameters={}, status="not evaluated", reason="none", **common),
        RuleResult(
            "Overfit",
            parameters={"patience": 1},
            status="fired",
            evaluated=3,
            fired=7,
            findings=[finding],
            **common,
        ),
    ]
