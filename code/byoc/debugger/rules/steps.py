"""Rules over steps and the job's parts: StepOutlier, MaxInitializationTime, and the two summaries
OverallSystemUsage and OverallFrameworkMetrics.
"""

from __future__ import annotations

import numpy as np

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.rules.profiler import SCAN_INTERVAL, ProfilerRule, spans
from byoc.debugger.run import Run

NO_PHASES = "no phases of the job"


class StepOutlier(ProfilerRule):
    """Fires when steps take far longer than the others.

    AWS: a step is an outlier when it takes longer than ``stddev`` standard deviations (3 in
    smdebug-rulesconfig and the page's text of the class, 5 in the page's table; 3 is taken) of all
    steps' durations; ``n_outliers`` of them are ignored. ``mode``: whose steps.

    Chosen: longer than the mean and ``stddev`` standard deviations. ``mode`` TRAIN looks at Step
    (without the time that debugging itself takes in it), EVAL at Validation; unset, both, each with
    its own mean.

    recommended: an outlier is longer than ``factor`` times the median, which outliers do not
    move; the first ``first_steps`` steps (warm-up, compilation) are left out, and they must take
    ``share`` per cent of the time together.
    """

    parameters = (
        Parameter("stddev", p.number(0, within=True), 3, text="standard deviations over the mean"),
        Parameter("mode", p.mode, None, "TRAIN", "whose steps"),
        Parameter("n_outliers", p.count(0), 10, 2, "outliers that are ignored"),
        Parameter("factor", p.number(1), None, 10.0, "times the median, not stddev", ours=True),
        Parameter("first_steps", p.count(0), 0, 10, "steps that are left out", ours=True),
        Parameter("share", p.percentage, 0.0, 5.0, "per cent of the time they take", ours=True),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        found = []
        for mode, phase in (("TRAIN", "Step"), ("EVAL", "Validation")):
            if self.p.mode not in (None, "GLOBAL", mode):
                continue
            starts, seconds = spans(run, phase, own=True)
            order = np.argsort(starts)[self.p.first_steps :]
            if len(order) < 3:
                continue
            self.evaluated += len(order)
            found += self._judge(phase, starts[order], seconds[order])
        return found if self.evaluated else self.without(NO_PHASES)

    def _judge(self, phase: str, starts: np.ndarray, seconds: np.ndarray) -> list[Finding]:
        if self.p.factor is not None:
            limit = self.p.factor * float(np.median(seconds))
        else:
            limit = float(seconds.mean() + self.p.stddev * seconds.std())
        slow = seconds > limit
        share = 100 * float(seconds[slow].sum() / max(seconds.sum(), 1e-9))
        self.details[f"outliers {phase}"] = float(slow.sum())
        if slow.sum() <= self.p.n_outliers or share < self.p.share:
            return []
        worst = int(seconds.argmax())
        return [
            self.finding(
                f"{int(slow.sum())} of {len(seconds)} spans {phase} take over {limit:.3g} s "
                f"(median {np.median(seconds):.3g} s), {share:.0f}% of the time; the longest "
                f"{seconds[worst]:.3g} s",
                "look what happens there: checkpoints, logging, garbage collection, a slow file, "
                "another job on the host",
                float(starts[worst]),
                outliers=slow.sum(),
                limit=limit,
                share=share,
            )
        ]


class MaxInitializationTime(ProfilerRule):
    """Fires when the first step comes late.

    AWS: more than ``threshold`` minutes pass until the first step is there.

    Chosen: counted from the phase Initialization, or from the first metric's time without it.
    """

    parameters = (
        Parameter("threshold", p.number(0, within=True), 20, text="minutes to the first step"),
        SCAN_INTERVAL,
    )

    def check(self, run: Run) -> list[Finding] | None:
        steps, _ = spans(run, "Step")
        begins, _ = spans(run, "Initialization")
        if not len(begins):
            begins = np.array([each.times[0] for each in run.system if len(each.times)])
        if not len(steps) or not len(begins):
            return self.without(NO_PHASES)
        self.evaluated = 1
        minutes = float(steps.min() - begins.min()) / 60
        self.details["minutes"] = minutes
        if minutes <= self.p.threshold:
            return []
        return [
            self.finding(
                f"the first step came after {minutes:.1f} minutes",
                "read fewer or larger files at the start, tokenize beforehand, or use FastFile",
                float(steps.min()),
                minutes=minutes,
            )
        ]


class OverallSystemUsage(ProfilerRule):
    """Never fires: measures each node's metrics (max, p99, p95, p50, min).

    AWS: aggregates values for each node and computes percentiles; it has no threshold.
    """

    def check(self, run: Run) -> list[Finding] | None:
        for each in run.system:
            if not len(each.values):
                continue
            self.evaluated += len(each.values)
            for name, value in zip(
                ("max", "p99", "p95", "p50", "min"),
                np.percentile(each.values, (100, 99, 95, 50, 0)),
                strict=True,
            ):
                self.details[f"{each.node} {each.dimension} {each.name} {name}"] = float(value)
        return [] if self.evaluated else self.without("no system metrics")


class OverallFrameworkMetrics(ProfilerRule):
    """Never fires: measures the seconds by phase.

    AWS: summarizes the time spent on framework metrics, such as forward and backward pass and data
    loading; it has no threshold.
    """

    def check(self, run: Run) -> list[Finding] | None:
        if run.phases is None or not len(run.phases.names):
            return self.without(NO_PHASES)
        for name in np.unique(run.phases.names):
            _, seconds = spans(run, str(name))
            self.evaluated += len(seconds)
            self.details[f"seconds {name}"] = float(seconds.sum())
        return []
