"""From a run and what the rules said to report.json: one plain dict (docs/debugger-report.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from byoc import __version__
from byoc.debugger.findings import RuleResult
from byoc.debugger.report import bottlenecks, gpus
from byoc.debugger.report.clock import Clock, clock_of
from byoc.debugger.report.curves import curves_section
from byoc.debugger.report.devices import devices_of
from byoc.debugger.report.framework import framework_section
from byoc.debugger.report.gradients import gradients_section
from byoc.debugger.report.job import job_section
from byoc.debugger.report.meanings import meaning_of
from byoc.debugger.report.numbers import plain
from byoc.debugger.report.padding import padding_section
from byoc.debugger.report.steps import steps_section
from byoc.debugger.report.system import system_section
from byoc.debugger.report.tensors import Tensors, read_tensors
from byoc.debugger.run import Run

VERSION = 1
"""Of the schema; raised when a reader of the old one would misread the new one."""

MOST_FINDINGS = 50
"""Of one rule; ``fired`` counts them all."""

_ORDER = {"fired": 0, "quiet": 1, "not evaluated": 2}


def build(run: Run, results: list[RuleResult], tensors: Tensors | None = None) -> dict[str, Any]:
    """The content of report.json: numbers, strings, lists and dicts only, no NaN.

    ``tensors``: what was taken from the run's saves already, so that they are read once.
    """
    clock = clock_of(run)
    devices = devices_of(run)
    saved = read_tensors(run) if tensors is None else tensors
    report = {
        "schema_version": VERSION,
        "made_by": f"byoc {__version__}",
        "job": job_section(run, clock),
        "system": system_section(run, clock),
        "framework": framework_section(run, clock),
        "rules": _rules(results, clock),
        "steps": steps_section(run),
        "gpu_utilization": gpus.gpu_utilization_section(devices),
        "batch_size": gpus.batch_size_section(run, devices),
        "cpu_bottlenecks": bottlenecks.cpu_section(devices),
        "io_bottlenecks": bottlenecks.io_section(run, devices),
        "load_balancing": bottlenecks.load_section(devices),
        "gpu_memory": gpus.gpu_memory_section(run, devices, clock),
        "curves": curves_section(run, saved),
        "gradients": gradients_section(saved),
        "padding": padding_section(run, saved),
        "tensors": {"saves": saved.saves},
    }
    return dict(plain(report))


def _rules(results: list[RuleResult], clock: Clock) -> dict[str, Any]:
    """Those that fired first, each in the order of the registry."""
    rows = []
    for result in sorted(results, key=lambda result: _ORDER[result.status]):
        meaning = meaning_of(result.rule)
        row = asdict(result)
        row["findings"] = [
            finding | {"seconds": _since(finding["time"], clock)}
            for finding in row["findings"][:MOST_FINDINGS]
        ]
        row["fired"] = max(result.fired, len(result.findings))
        rows.append(
            row | {"looks_for": meaning.looks_for, "do": meaning.do, "section": meaning.section}
        )
    return {
        "sets": sorted({result.parameter_set for result in results}),
        "counts": {status: sum(result.status == status for result in results) for status in _ORDER},
        "results": rows,
    }


def _since(time: float | None, clock: Clock) -> float | None:
    return None if time is None else time - clock.start
