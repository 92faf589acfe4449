"""Profiler rules over made-up metrics and phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from byoc.debugger.run import Run
from debug_runs import phases
from debugged import a_run, judge_run

RANDOM = np.random.default_rng(0)
GPU, MEMORY, CPU = "GPUUtilization", "GPUMemoryUtilization", "CPUUtilization"


def _level(value: float, samples: int = 1500, spread: float = 1.0) -> np.ndarray:
    return np.clip(value + spread * RANDOM.standard_normal(samples), 0, 100)


def _steps(durations: list[float], loading: float = 0.0) -> list[tuple[str, float, float]]:
    """Step after step; the loader's time comes before each."""
    rows, now = [("Initialization", 0.0, 5.0)], 5.0
    for seconds in durations:
        if loading:
            rows.append(("DataLoading", now, loading))
            now += loading
        rows.append(("Step", now, seconds))
        now += seconds
    return rows


def test_low_gpu_utilization() -> None:
    rule = "LowGPUUtilization"
    assert judge_run(a_run({("gpu0", GPU): _level(90)}), rule, "aws").status == "quiet"
    low = judge_run(a_run({("gpu0", GPU): _level(60)}), rule, "aws")
    assert (low.status, low.fired) == ("fired", 1), "1000 are skipped, one window of 500 is left"
    assert "gpu0 on algo-1 is used" in low.findings[0].what
    uneven = _level(90)
    uneven[::10] = 0
    assert "up and down" in judge_run(a_run({("gpu0", GPU): uneven}), rule, "aws").findings[0].what
    assert judge_run(a_run({("gpu0", GPU): uneven}), rule).status == "quiet"
    short = judge_run(a_run({("gpu0", GPU): _level(20, 1000)}), rule, "aws")
    assert short.reason == "no more than 1000 samples (patience)"
    assert judge_run(a_run({("gpu0", GPU): _level(20, 1000)}), rule).status == "fired"
    assert judge_run(a_run({("cpu0", CPU): _level(20)}), rule).reason == "no GPU metrics"
    assert judge_run(Run(a_run().folder), rule).status == "not evaluated"


def test_low_gpu_utilization_of_each_gpu_and_after_the_start() -> None:
    busy_later = np.concatenate([np.zeros(1000), _level(95, 500)])
    run = a_run({("gpu0", GPU): busy_later, ("gpu1", GPU): _level(10)})
    result = judge_run(run, "LowGPUUtilization", "aws")
    assert [finding.what.split()[0] for finding in result.findings] == ["gpu1"]


def test_batch_size() -> None:
    def run(cpu: float, gpu: float, memory: float) -> Run:
        return a_run(
            {
                ("cpu0", CPU): _level(cpu),
                ("gpu0", GPU): _level(gpu),
                ("gpu0", MEMORY): _level(memory, spread=0.1),
            }
        )

    result = judge_run(run(30, 40, 20), "BatchSize", "aws")
    assert result.status == "fired"
    assert "up to 4.5 times as large" in result.findings[0].advice
    for busy in ((90, 40, 20), (30, 90, 20), (30, 40, 90)):
        assert judge_run(run(*busy), "BatchSize", "aws").status == "quiet"
    assert judge_run(run(60, 60, 60), "BatchSize", "aws").status == "fired"
    assert judge_run(run(60, 60, 60), "BatchSize").status == "quiet"


def test_cpu_bottleneck() -> None:
    cores = {("cpu0", CPU): _level(97), ("cpu1", CPU): _level(5)}
    starved = a_run({**cores, ("gpu0", GPU): _level(3)})
    assert judge_run(starved, "CPUBottleneck").status == "fired"
    assert judge_run(starved, "CPUBottleneck", cpu_threshold=100).status == "quiet"
    assert judge_run(a_run({**cores, ("gpu0", GPU): _level(80)}), "CPUBottleneck").status == "quiet"
    assert judge_run(a_run(cores), "CPUBottleneck").reason == "no GPU metrics"


def test_io_bottleneck_by_metrics_and_by_phases() -> None:
    rule = "IOBottleneck"
    waits = {("cpu0", "I/OWaitPercentage"): _level(80), ("gpu0", GPU): _level(20)}
    assert judge_run(a_run(waits), rule, "aws").status == "fired"
    waits[("gpu0", GPU)] = _level(95)
    assert judge_run(a_run(waits), rule, "aws").status == "quiet"
    sleeping = a_run(phases=_steps([0.1] * 50, loading=0.3))
    for parameter_set in ("aws", "recommended"):
        result = judge_run(sleeping, rule, parameter_set)
        assert result.status == "fired"
        assert result.findings[0].values["percent"] == pytest.approx(75, abs=1)
    assert judge_run(a_run(phases=_steps([0.1] * 50, loading=0.01)), rule).status == "quiet"
    assert judge_run(a_run(), rule).status == "not evaluated"


def test_loading_inside_the_step_counts_once() -> None:
    rows = [("Step", float(n), 1.0) for n in range(30)]
    rows += [("DataLoading", float(n), 0.6) for n in range(30)]
    result = judge_run(a_run(phases=rows), "IOBottleneck")
    assert result.findings[0].values["percent"] == pytest.approx(60, abs=1)


def test_gpu_memory_increase() -> None:
    rule = "GPUMemoryIncrease"
    leak = a_run({("gpu0", MEMORY): np.linspace(20, 60, 2000)})
    steady = a_run({("gpu0", MEMORY): _level(60, 2000)})
    cache = np.concatenate([np.linspace(20, 40, 150), np.full(1850, 40.0)])
    for parameter_set in ("aws", "recommended"):
        assert judge_run(leak, rule, parameter_set).status == "fired"
        assert judge_run(steady, rule, parameter_set).status == "quiet"
    assert judge_run(a_run({("gpu0", MEMORY): cache}), rule).status == "quiet"
    assert judge_run(a_run({("gpu0", MEMORY): np.linspace(20, 24, 2000)}), rule).status == "quiet"


def test_load_balancing() -> None:
    equal = a_run({("gpu0", GPU): _level(85, spread=5), ("gpu1", GPU): _level(85, spread=5)})
    unequal = a_run({("gpu0", GPU): _level(95), ("gpu1", GPU): _level(40)})
    assert judge_run(equal, "LoadBalancing", "aws").status == "quiet"
    assert judge_run(unequal, "LoadBalancing", "aws").status == "fired"
    one = judge_run(a_run({("gpu0", GPU): _level(95)}), "LoadBalancing")
    assert one.reason == "fewer than two GPUs on a node"


def test_step_outlier() -> None:
    slow = [0.1 if number % 40 else 2.0 for number in range(600)]
    result = judge_run(a_run(phases=_steps(slow)), "StepOutlier")
    assert result.findings[0].values["outliers"] == 14, "the first is of the first steps"
    assert judge_run(a_run(phases=_steps(slow)), "StepOutlier", "aws").status == "fired"
    few = [0.1] * 600
    few[300] = 2.0
    for parameter_set in ("aws", "recommended"):
        assert judge_run(a_run(phases=_steps(few)), "StepOutlier", parameter_set).status == "quiet"
    assert judge_run(a_run(phases=_steps(few)), "StepOutlier", "aws", n_outliers=0).fired == 1
    assert judge_run(a_run(), "StepOutlier").reason == "no phases of the job"


def test_a_step_in_which_debugging_saves_is_no_outlier() -> None:
    rows = [("Step", float(step), 0.1 if step % 20 else 2.0, step) for step in range(200)]
    slow = Run(Path("nowhere"), phases=phases(*rows))
    assert judge_run(slow, "StepOutlier").status == "fired"
    rows += [("Hook", float(step), 1.9, step) for step in range(0, 200, 20)]
    rows += [("Hook", 300.0, 5.0, -1)]
    for parameter_set in ("aws", "recommended"):
        saved = judge_run(Run(Path("nowhere"), phases=phases(*rows)), "StepOutlier", parameter_set)
        assert saved.status == "quiet"


def test_max_initialization_time() -> None:
    late = a_run(phases=[("Initialization", 0.0, 1300.0), ("Step", 1300.0, 1.0)])
    assert judge_run(late, "MaxInitializationTime").status == "fired"
    assert judge_run(late, "MaxInitializationTime", threshold=22).status == "quiet"


def test_the_two_summaries_measure_and_never_fire() -> None:
    run = a_run({("cpu0", CPU): _level(50)}, phases=_steps([0.5] * 10))
    usage = judge_run(run, "OverallSystemUsage")
    assert usage.status == "quiet"
    assert usage.details["algo-1 CPUUtilization cpu0 p50"] == pytest.approx(50, abs=1)
    assert judge_run(run, "OverallFrameworkMetrics").details["seconds Step"] == pytest.approx(5)


def test_profiler_report_runs_them_all_with_their_parameters() -> None:
    run = a_run({("gpu0", GPU): _level(60)}, phases=_steps([0.1] * 50, loading=0.3))
    result = judge_run(run, "ProfilerReport", "aws")
    assert {finding.rule for finding in result.findings} == {"LowGPUUtilization", "IOBottleneck"}
    easier = {"LowGPUUtilization_threshold_p95": 40, "iobottleneck_threshold": "90"}
    assert judge_run(run, "ProfilerReport", "aws", **easier).status == "quiet"
