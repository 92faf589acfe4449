"""The base of profiler rules, over a job's system metrics and phases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.parameters import Parameter, ParameterSet, resolve
from byoc.debugger.run import Run, Series

SCAN_INTERVAL = Parameter(
    "scan_interval_us", p.count(), 60_000_000, text="live: microseconds between two looks"
)
CPU, GPU, GPU_MEMORY = "CPUUtilization", "GPUUtilization", "GPUMemoryUtilization"


def patience(aws: int, recommended: int = 120) -> Parameter:
    return Parameter("patience", p.count(), aws, recommended, "samples that are skipped at first")


class ProfilerRule:
    """Looks at a whole ``Run``; ``self.p`` holds the parameters' values.

    ``check`` returns findings, or None with ``reason`` set where the run has nothing to look at;
    it sets ``evaluated`` (samples or steps) and may fill ``details``.
    """

    kind: ClassVar[Literal["tensor", "profiler"]] = "profiler"
    parameters: ClassVar[tuple[Parameter, ...]] = (SCAN_INTERVAL,)

    def __init__(self, parameter_set: ParameterSet = "recommended", **given: Any) -> None:
        self.rule_name = type(self).__name__
        self.values = resolve(self.rule_name, self.parameters, parameter_set, given)
        self.p = SimpleNamespace(**self.values)
        self.evaluated = 0
        self.reason = ""
        self.details: dict[str, float] = {}

    def check(self, run: Run) -> list[Finding] | None:
        raise NotImplementedError

    def without(self, reason: str) -> list[Finding] | None:
        """For ``check`` to return where there is nothing to look at."""
        self.reason = reason
        return None

    def finding(
        self,
        what: str,
        advice: str,
        time: float | None = None,
        step: int | None = None,
        **values: Any,
    ) -> Finding:
        return Finding(
            rule=self.rule_name,
            what=what,
            advice=advice,
            step=step,
            time=time,
            values={name: float(value) for name, value in values.items()},
        )


def series(run: Run, dimension: str, kind: str | None = None) -> list[Series]:
    return [
        each
        for each in run.system
        if each.dimension == dimension and len(each.values) and kind in (None, each.kind)
    ]


def nodes(found: Iterable[Series]) -> list[str]:
    return sorted({each.node for each in found})


def on(found: Iterable[Series], node: str) -> list[Series]:
    return [each for each in found if each.node == node]


def at(times: np.ndarray, other: Series) -> np.ndarray:
    """``other``'s values at ``times`` [n]: of its newest sample at each of them, else its first."""
    index = np.clip(np.searchsorted(other.times, times, side="right") - 1, 0, len(other.times) - 1)
    return other.values[index]


def together(found: list[Series], how: Any) -> Series:
    """One series of several on the first one's times: ``how`` is numpy's mean, max, …"""
    first = found[0]
    values = how([at(first.times, each) for each in found], axis=0)
    return Series(first.node, first.kind, first.name, first.dimension, first.times, values)


def windows(values: np.ndarray, skip: int, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """(end, values) of the windows of ``size`` samples after the first ``skip``, ``size`` apart;
    the last one ends with the last sample, and a run with fewer samples than a window has one of
    all.
    """
    values_left = values[skip:]
    if not len(values_left):
        return
    ends = list(range(size, len(values_left) + 1, size))
    if not ends or ends[-1] != len(values_left):
        ends.append(len(values_left))
    for end in ends:
        yield skip + end - 1, values_left[max(0, end - size) : end]


def spans(run: Run, *wanted: str, own: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(starts, seconds) of the phases with these names; ``own``: a step's without debugging."""
    if run.phases is None:
        return np.zeros(0), np.zeros(0)
    chosen = np.isin(run.phases.names, wanted)
    seconds = run.phases.without_hook() if own else run.phases.seconds
    return run.phases.starts[chosen], seconds[chosen]
