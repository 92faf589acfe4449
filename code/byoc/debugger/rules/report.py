"""ProfilerReport: all profiler rules at once."""

from __future__ import annotations

from typing import Any, ClassVar

from byoc.debugger.findings import Finding
from byoc.debugger.rules.bottlenecks import CPUBottleneck, IOBottleneck
from byoc.debugger.rules.gpu import BatchSize, GPUMemoryIncrease, LoadBalancing, LowGPUUtilization
from byoc.debugger.rules.parameters import Parameter, ParameterError, ParameterSet
from byoc.debugger.rules.profiler import ProfilerRule
from byoc.debugger.rules.steps import (
    MaxInitializationTime,
    OverallFrameworkMetrics,
    OverallSystemUsage,
    StepOutlier,
)
from byoc.debugger.run import Run

PROFILER_RULES: tuple[type[ProfilerRule], ...] = (
    BatchSize,
    CPUBottleneck,
    GPUMemoryIncrease,
    IOBottleneck,
    LoadBalancing,
    LowGPUUtilization,
    MaxInitializationTime,
    OverallFrameworkMetrics,
    OverallSystemUsage,
    StepOutlier,
)


class ProfilerReport(ProfilerRule):
    """Fires when any profiler rule does; its findings are theirs.

    AWS: invokes all profiler rules and writes the report; ``RULE_PARAMETER`` changes a parameter of
    one of them. Here ``byoc debug report`` writes the report of any job.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(self, parameter_set: ParameterSet = "recommended", **given: Any) -> None:
        super().__init__(parameter_set)
        self.values = dict(given)
        by_name = {rule.__name__.lower(): rule for rule in PROFILER_RULES}
        changed: dict[str, dict[str, Any]] = {}
        for key, value in given.items():
            name, _, parameter = key.partition("_")
            if name.lower() not in by_name or not parameter:
                raise ParameterError(
                    f"rule {self.rule_name}: {key!r} is not RULE_PARAMETER with one of "
                    + ", ".join(rule.__name__ for rule in PROFILER_RULES)
                )
            changed.setdefault(name.lower(), {})[parameter] = value
        self.rules = [
            rule(parameter_set, **changed.get(name, {})) for name, rule in by_name.items()
        ]

    def check(self, run: Run) -> list[Finding] | None:
        found, reasons = [], []
        for rule in self.rules:
            findings = rule.check(run)
            self.evaluated += rule.evaluated
            self.details |= {f"{rule.rule_name}: {k}": v for k, v in rule.details.items()}
            if findings is None:
                reasons.append(rule.reason)
            else:
                found += findings
        if len(reasons) == len(self.rules):
            return self.without("no system metrics and no phases")
        return found
