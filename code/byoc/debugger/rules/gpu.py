"""Rules over GPUs: LowGPUUtilization, BatchSize, GPUMemoryIncrease, LoadBalancing."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.rules.profiler import (
    CPU,
    GPU,
    GPU_MEMORY,
    SCAN_INTERVAL,
    ProfilerRule,
    at,
    nodes,
    on,
    patience,
    series,
    together,
    windows,
)
from byoc.debugger.run import Run, Series

NO_GPU = "no GPU metrics"
_WINDOW = Parameter("window", p.count(), 500, text="samples of a window")


def _few(skipped: int) -> str:
    return f"no more than {skipped} samples (patience)"


class LowGPUUtilization(ProfilerRule):
    """Fires when a GPU is under-used, or used by fits and starts.

    AWS: for each GPU, the 95th percentile of its utilization is under ``threshold_p95``; or it is
    not, but the 5th is under ``threshold_p5``.

    Chosen: the percentiles are of windows of ``window`` samples after the first ``patience``, one
    after the other (the last may overlap); each window that is so counts once.

    recommended: after 120 samples, a minute at 500 ms, so that short jobs are looked at; and the
    fluctuation only where the 25th percentile is also under ``threshold_p5``: validation and
    checkpoints make gaps in a healthy job.
    """

    parameters = (
        Parameter("threshold_p95", p.percentage, 70, 50, "95th percentile, per cent"),
        Parameter("threshold_p5", p.percentage, 10, text="low percentile, per cent"),
        _WINDOW,
        patience(1000),
        Parameter(
            "low_percentile", p.percentage, 5, 25, "which percentile is the low one", ours=True
        ),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        found: list[Finding] = []
        gpus = series(run, GPU)
        for gpu in gpus:
            for end, values in windows(gpu.values, self.p.patience, self.p.window):
                self.evaluated += len(values)
                found += self._judge(gpu, float(gpu.times[end]), values)
            self.details[f"p95 {gpu.node} {gpu.name}"] = float(np.percentile(gpu.values, 95))
        if not self.evaluated:
            return self.without(_few(self.p.patience) if gpus else NO_GPU)
        return found

    def _judge(self, gpu: Series, time: float, values: np.ndarray) -> list[Finding]:
        low, high = np.percentile(values, (self.p.low_percentile, 95))
        where = f"{gpu.name} on {gpu.node}"
        if high < self.p.threshold_p95:
            what = f"{where} is used {high:.0f}% at the 95th percentile"
            advice = "use a larger batch, faster data loading, or a smaller instance"
        elif low < self.p.threshold_p5:
            what = (
                f"{where} goes up and down: {high:.0f}% at the 95th percentile, {low:.0f}% at the "
                f"{self.p.low_percentile:g}th"
            )
            advice = (
                "it waits for data, for the CPU or for another GPU: look at the bottleneck rules"
            )
        else:
            return []
        return [self.finding(what, advice, time, p95=high, low=low)]


class BatchSize(ProfilerRule):
    """Fires when CPU, GPU and GPU memory are all little used: a larger batch would fit.

    AWS: the 95th percentiles of CPU, GPU and GPU memory utilization are under
    ``cpu_threshold_p95``, ``gpu_threshold_p95`` and ``gpu_memory_threshold_p95``, over ``window``
    samples, after ``patience`` (100 in the page, 1000 in smdebug-rulesconfig; the page's is
    taken).

    Chosen: for each GPU; CPU is the mean over the node's cores.

    recommended: all three under 50: at 70 a GPU is not starved.
    """

    parameters = (
        Parameter("cpu_threshold_p95", p.percentage, 70, text="of CPU utilization"),
        Parameter("gpu_threshold_p95", p.percentage, 70, 50, "of GPU utilization"),
        Parameter("gpu_memory_threshold_p95", p.percentage, 70, 50, "of GPU memory"),
        patience(100),
        _WINDOW,
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        gpus, cpus, memories = (series(run, each) for each in (GPU, CPU, GPU_MEMORY))
        if not gpus or not cpus or not memories:
            return self.without(NO_GPU if not gpus else "no CPU or GPU memory metrics")
        found = []
        for gpu in gpus:
            cores = on(cpus, gpu.node)
            memory = [each for each in on(memories, gpu.node) if each.name == gpu.name]
            if not cores or not memory:
                continue
            cpu = together(cores, np.mean)
            for end, values in windows(gpu.values, self.p.patience, self.p.window):
                self.evaluated += len(values)
                times = gpu.times[end + 1 - len(values) : end + 1]
                found += self._judge(gpu, times, values, at(times, cpu), at(times, memory[0]))
        if not self.evaluated:
            return self.without(_few(self.p.patience))
        return found

    def _judge(
        self, gpu: Series, times: np.ndarray, of_gpu: np.ndarray, cpu: np.ndarray, mem: np.ndarray
    ) -> list[Finding]:
        high = [float(np.percentile(values, 95)) for values in (cpu, of_gpu, mem)]
        bounds = (
            self.p.cpu_threshold_p95,
            self.p.gpu_threshold_p95,
            self.p.gpu_memory_threshold_p95,
        )
        if any(value >= bound for value, bound in zip(high, bounds, strict=True)):
            return []
        times_larger = 90 / max(high[2], 1)
        return [
            self.finding(
                f"{gpu.name} on {gpu.node}: CPU {high[0]:.0f}%, GPU {high[1]:.0f}%, GPU memory "
                f"{high[2]:.0f}% at the 95th percentile",
                f"a batch up to {times_larger:.1f} times as large would fit 90% of its memory; "
                "or take a smaller instance",
                float(times[-1]),
                cpu=high[0],
                gpu=high[1],
                gpu_memory=high[2],
                times_larger=times_larger,
            )
        ]


class GPUMemoryIncrease(ProfilerRule):
    """Fires when GPU memory grows.

    AWS: the moving average of memory over ``window`` samples grows by more than ``increase`` (10 in
    the page, 5 in smdebug-rulesconfig; a moving average that goes from 5% to 6% is an increase of
    1%), after ``patience``.

    Chosen: percentage points. The average of each window is compared with the lowest one before it:
    a leak grows by little from window to window. A run with fewer samples than two windows takes
    windows of a tenth of it.

    recommended: half of the growth or more must fall into the second half of the time, and the
    newest window must be the highest: an allocator's cache grows at first, with the longest
    batches, and then stays.
    """

    parameters = (
        Parameter("increase", p.percentage, 10, 5, "percentage points of growth"),
        patience(100, 20),
        Parameter("window", p.count(), 500, 60, "samples of a moving average"),
        Parameter(
            "late_share", p.number(0, 1), 0.0, 0.3, "of the growth, in the second half", ours=True
        ),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        found = []
        memories = series(run, GPU_MEMORY)
        for memory in memories:
            values = memory.values[self.p.patience :]
            if len(values) < 10:
                continue
            self.evaluated += len(values)
            size = min(self.p.window, max(1, len(values) // 10))
            means = np.convolve(values, np.ones(size) / size, mode="valid")
            found += self._judge(memory, means)
        if not self.evaluated:
            return self.without(_few(self.p.patience) if memories else NO_GPU)
        return found

    def _judge(self, memory: Series, means: np.ndarray) -> list[Finding]:
        growth = means - np.minimum.accumulate(means)
        most = float(growth.max())
        if most < self.p.increase:
            return []
        if self.p.late_share:
            late = float(means[-1] - means[len(means) // 2])
            if late < self.p.late_share * most or means[-1] < means.max() - 0.1 * most:
                return []
        return [
            self.finding(
                f"memory of {memory.name} on {memory.node} grows by {most:.1f} points to "
                f"{means.max():.1f}%",
                "look for tensors that are kept from step to step: losses summed without .item(), "
                "lists of outputs",
                float(memory.times[-1]),
                growth=most,
                highest=means.max(),
            )
        ]


class LoadBalancing(ProfilerRule):
    """Fires when GPUs of a job have unequal work.

    AWS: a histogram of each GPU's utilization; two of them are further apart than ``threshold``.

    Chosen: ten bins of ten per cent after the first ``patience`` samples; the distance is half
    the sum of absolute differences (total variation, 0 to 1), for each two GPUs of a node.
    """

    parameters = (
        Parameter("threshold", p.number(0, 1), 0.5, text="distance of two histograms"),
        patience(10),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        gpus = [each for each in series(run, GPU) if len(each.values) > self.p.patience]
        found = []
        for node in nodes(gpus):
            for one, other in combinations(on(gpus, node), 2):
                self.evaluated += len(one.values) - self.p.patience
                distance = 0.5 * float(np.abs(self._shares(one) - self._shares(other)).sum())
                if distance > self.p.threshold:
                    found.append(self._unequal(one, other, distance))
        if not self.evaluated:
            return self.without("fewer than two GPUs on a node" if gpus else NO_GPU)
        return found

    def _shares(self, gpu: Series) -> np.ndarray:
        values = gpu.values[self.p.patience :]
        return np.histogram(values, bins=10, range=(0, 100))[0] / len(values)

    def _unequal(self, one: Series, other: Series, distance: float) -> Finding:
        means = [float(gpu.values[self.p.patience :].mean()) for gpu in (one, other)]
        return self.finding(
            f"{one.name} and {other.name} on {one.node} have unequal work: {means[0]:.0f}% and "
            f"{means[1]:.0f}% on average",
            "give all GPUs shards of equal size and texts of like length; one process for each GPU",
            float(one.times[-1]),
            distance=distance,
        )
