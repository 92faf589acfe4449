"""Rules over what training waits for: CPUBottleneck, IOBottleneck."""

from __future__ import annotations

import numpy as np

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.rules.profiler import (
    CPU,
    GPU,
    SCAN_INTERVAL,
    ProfilerRule,
    at,
    nodes,
    on,
    patience,
    series,
    spans,
    together,
)
from byoc.debugger.run import Run, Series


class CPUBottleneck(ProfilerRule):
    """Fires when GPUs wait for the CPU.

    AWS: a bottleneck is a moment with a GPU under ``gpu_threshold`` and the CPU over
    ``cpu_threshold``; they make up more than ``threshold`` per cent of the time.

    Chosen: the least used GPU and the busiest core of a node count: a loader in one process fills
    one core only. Samples after the first ``patience``.
    """

    parameters = (
        Parameter("threshold", p.percentage, 50, text="per cent of the time"),
        Parameter("gpu_threshold", p.percentage, 10, text="GPU utilization under which"),
        Parameter("cpu_threshold", p.percentage, 90, text="CPU utilization over which"),
        patience(100),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        gpus, cpus = series(run, GPU), series(run, CPU)
        if not gpus or not cpus:
            return self.without("no GPU metrics" if not gpus else "no CPU metrics")
        found = []
        for node in nodes(gpus):
            if not on(cpus, node):
                continue
            gpu, cpu = together(on(gpus, node), np.min), together(on(cpus, node), np.max)
            times = gpu.times[self.p.patience :]
            if not len(times):
                continue
            self.evaluated += len(times)
            waits = (at(times, gpu) < self.p.gpu_threshold) & (
                at(times, cpu) > self.p.cpu_threshold
            )
            percent = 100 * float(np.mean(waits))
            self.details[f"percent {node}"] = percent
            if percent > self.p.threshold:
                found.append(
                    self.finding(
                        f"{node}: {percent:.0f}% of the time a GPU waits while a core is full",
                        "use more data loading processes, or prepare the data beforehand",
                        float(times[waits][-1]),
                        percent=percent,
                    )
                )
        return found if self.evaluated else self.without("too few samples (patience)")


class IOBottleneck(ProfilerRule):
    """Fires when training waits for data.

    AWS: a bottleneck is a moment with a GPU under ``gpu_threshold`` (70 in the page, 10 in
    smdebug-rulesconfig) and I/O wait over ``io_threshold``; they make up more than ``threshold``
    per cent of the time.

    Chosen: what was measured decides. With GPU and I/O wait metrics: as AWS says. With phases
    (our capture writes them): the share of the training steps' time that is spent in DataLoading,
    which also shows a loader that sleeps, or waits for a network, and it is the only sign on a
    CPU. Either is enough. ``patience`` samples are skipped, or the first ``first_steps`` steps.
    """

    parameters = (
        Parameter("threshold", p.percentage, 50, 30, "per cent of the time"),
        Parameter("gpu_threshold", p.percentage, 70, text="GPU utilization under which"),
        Parameter("io_threshold", p.percentage, 50, text="I/O wait over which"),
        patience(1000),
        Parameter("first_steps", p.count(0), 10, text="steps that are skipped", ours=True),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        found = [*self._by_metrics(run), *self._by_phases(run)]
        if not self.evaluated:
            return self.without("neither phases nor metrics of GPU and I/O wait")
        return found

    def _by_metrics(self, run: Run) -> list[Finding]:
        gpus = series(run, GPU)
        io = [each for each in run.system if _is_io_wait(each) and len(each.values)]
        found = []
        for node in nodes(gpus):
            if not on(io, node):
                continue
            gpu, wait = together(on(gpus, node), np.min), together(on(io, node), np.max)
            times = gpu.times[self.p.patience :]
            self.evaluated += len(times)
            waits = (at(times, gpu) < self.p.gpu_threshold) & (
                at(times, wait) > self.p.io_threshold
            )
            percent = 100 * float(np.mean(waits)) if len(times) else 0.0
            if percent > self.p.threshold:
                what = f"{node}: {percent:.0f}% of the time a GPU waits for input or output"
                found.append(self._fire(what, float(times[waits][-1]), percent))
        return found

    def _by_phases(self, run: Run) -> list[Finding]:
        loads, waits = spans(run, "DataLoading")
        starts, seconds = spans(run, "Step")
        if len(starts) <= self.p.first_steps or not len(loads):
            return []
        order = np.argsort(starts)
        starts, ends = starts[order], (starts + seconds)[order]
        begin = ends[self.p.first_steps - 1] if self.p.first_steps else min(loads.min(), starts[0])
        waits, loads = waits[loads >= begin], loads[loads >= begin]
        starts, ends = starts[self.p.first_steps :], ends[self.p.first_steps :]
        # Loading may lie inside a step's span or before it: it counts once.
        step = np.maximum(np.searchsorted(starts, loads, side="right") - 1, 0)
        outside = (loads < starts[step]) | (loads >= ends[step])
        whole = float((ends - starts).sum() + waits[outside].sum())
        percent = 100 * float(waits.sum()) / max(whole, 1e-9)
        self.evaluated += len(starts)
        self.details["percent of step time"] = percent
        if percent <= self.p.threshold:
            return []
        what = f"{percent:.0f}% of the steps' time is spent waiting for the data loader"
        return [self._fire(what, float(loads.max()), percent)]

    def _fire(self, what: str, time: float, percent: float) -> Finding:
        advice = (
            "load in more processes, copy the data to the instance's disk, use larger files, or a "
            "faster channel (FastFile, FSx)"
        )
        return self.finding(what, advice, time, percent=percent)


def _is_io_wait(each: Series) -> bool:
    name = f"{each.dimension} {each.name}".lower().replace("/", "").replace("_", "")
    return "iowait" in name
