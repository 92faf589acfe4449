"""Runs rules over a job: afterwards over its output, or live, save by save.

    results = evaluate(read(folder))                      # afterwards: byoc.debugger.run.read

    rules = RuleSet(["VanishingGradient"], parameters={"VanishingGradient": {"threshold": 1e-8}})
    fired = rules.save(Save(…))                           # live, after each save of the hook
    fired = rules.profile(run)                            # live, now and then
    fired = rules.end(); results = rules.results()

Both give the same results for the same saves. A rule that fails is not run again and says so in its
result; it never raises out of here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from smdebug.exceptions import (
    NoMoreData,
    RuleEvaluationConditionMet,
    StepUnavailable,
    TensorUnavailable,
    TensorUnavailableForStep,
)

from byoc.debugger import own_rules
from byoc.debugger.events import saves
from byoc.debugger.findings import Finding, RuleResult, Status
from byoc.debugger.own_rules import RuleError
from byoc.debugger.rules.base import TensorRule
from byoc.debugger.rules.parameters import ParameterSet
from byoc.debugger.rules.profiler import ProfilerRule
from byoc.debugger.rules.registry import RULES
from byoc.debugger.rules.runs import StalledTrainingRule
from byoc.debugger.run import Run
from byoc.debugger.save import Save
from byoc.debugger.trial import SavedTrial, read_collections

KEPT = 20
"""Findings of a rule that its result shows; ``fired`` counts all."""
Parameters = Mapping[str, Mapping[str, Any]]
"""Values by rule and name."""


@dataclass
class _Running:
    """One rule on its way. ``rule`` is a TensorRule, a ProfilerRule or any smdebug ``Rule``."""

    name: str
    rule: Any
    kind: Literal["tensor", "profiler"]
    findings: list[Finding] = field(default_factory=list)
    fired: int = 0
    evaluated: int = 0
    failed: str = ""
    ended: bool = False

    def add(self, found: list[Finding]) -> list[Finding]:
        self.fired += len(found)
        self.findings += found[: KEPT - len(self.findings)]
        return found

    def fail(self, error: Exception, when: str) -> None:
        text = " ".join(str(error).split())
        self.failed = f"failed {when}: {type(error).__name__}: {text}"


class RuleSet:
    """The chosen rules; all of the registry when ``rules`` is None.

    ``keep``: saves that stay in memory for rules that look back through the trial; None: all.
    Raises RuleError or ParameterError, one line each, for what cannot be made.
    """

    def __init__(
        self,
        rules: Iterable[str] | None = None,
        parameter_set: ParameterSet = "recommended",
        parameters: Parameters | None = None,
        *,
        keep: int | None = 200,
    ) -> None:
        self.parameter_set = parameter_set
        self.trial = SavedTrial(keep=keep)
        given = dict(parameters or {})
        chosen = list(RULES) if rules is None else list(dict.fromkeys(rules))
        self._running = [self._make(name, given) for name in chosen]
        unused = set(given) - {running.name for running in self._running}
        if unused:
            raise RuleError(f"parameters of {', '.join(sorted(unused))}, which is not chosen")

    def _make(self, name: str, given: dict[str, Mapping[str, Any]]) -> _Running:
        if own_rules.is_own(name):
            kind: type[Any] = own_rules.load(name)
        elif name in RULES:
            kind = RULES[name]
        else:
            raise RuleError(
                f"there is no rule {name!r}: choose of {', '.join(RULES)}, or give file.py:Class"
            )
        own = dict(given.get(kind.__name__, {}))
        if issubclass(kind, TensorRule):
            return _Running(
                kind.__name__, kind(self.trial, parameter_set=self.parameter_set, **own), "tensor"
            )
        if issubclass(kind, ProfilerRule):
            return _Running(kind.__name__, kind(self.parameter_set, **own), "profiler")
        return _Running(kind.__name__, own_rules.make(kind, self.trial, own), "tensor")

    def set_collections(self, collections: Mapping[str, Any]) -> None:
        """By name: smdebug's ``Collection`` objects, or their JSON form."""
        self.trial.set_collections(collections)

    @property
    def names(self) -> list[str]:
        return [running.name for running in self._running]

    def save(self, save: Save) -> list[Finding]:
        """Gives each tensor rule the save; what has fired at it."""
        self.trial.add(save)
        return [
            finding
            for running in self._running
            if running.kind == "tensor" and not running.failed and not running.ended
            for finding in self._invoke(running, save)
        ]

    def _invoke(self, running: _Running, save: Save) -> list[Finding]:
        rule = running.rule
        met = False
        try:
            rule.invoke(save.step)
        except (TensorUnavailable, TensorUnavailableForStep, StepUnavailable, NoMoreData):
            return []
        except RuleEvaluationConditionMet as error:
            met, running.ended = True, bool(error.end_of_rule)
        except Exception as error:
            running.fail(error, f"at step {save.step}")
            return []
        if isinstance(rule, TensorRule):
            running.evaluated = rule.evaluated
            return running.add(_taken(rule))
        running.evaluated += 1
        return running.add([_own_finding(running.name, save)] if met else [])

    def profile(self, run: Run) -> list[Finding]:
        """Gives each profiler rule the run so far; what has fired and had not in the call
        before."""
        new = []
        for running in self._running:
            if running.kind == "profiler" and not running.failed:
                new += self._check(running, run)
        return new

    def _check(self, running: _Running, run: Run) -> list[Finding]:
        rule = running.rule
        rule.evaluated, rule.reason, rule.details = 0, "", {}
        before = running.fired
        try:
            found = rule.check(run) or []
        except Exception as error:
            running.fail(error, "over the metrics")
            return []
        running.findings, running.fired, running.evaluated = [], 0, rule.evaluated
        return running.add(found)[before:]

    def stalled(self, now: float | None = None) -> list[Finding]:
        """Live, between saves: whether StalledTrainingRule fires at ``now`` (seconds since
        1970)."""
        return [
            finding
            for running in self._running
            if isinstance(running.rule, StalledTrainingRule) and running.rule.stalled(now)
            for finding in running.add(_taken(running.rule))
        ]

    def end(self) -> list[Finding]:
        """The job is over: what only its end can show."""
        self.trial.loaded_all_steps = True
        new = []
        for running in self._running:
            if isinstance(running.rule, TensorRule) and not running.failed:
                try:
                    new += running.add(running.rule.finish())
                except Exception as error:
                    running.fail(error, "at the end")
        return new

    def results(self) -> list[RuleResult]:
        return [self._result(running) for running in self._running]

    def _result(self, running: _Running) -> RuleResult:
        rule = running.rule
        status: Status = "fired" if running.fired else "quiet"
        reason = running.failed
        if not running.fired and (running.failed or not running.evaluated):
            status = "not evaluated"
            reason = reason or (rule.unmet() if isinstance(rule, TensorRule) else "")
            reason = reason or getattr(rule, "reason", "") or "nothing that it looks at was saved"
        return RuleResult(
            rule=running.name,
            kind=running.kind,
            parameters=dict(getattr(rule, "values", {})),
            parameter_set=self.parameter_set,
            status=status,
            reason=reason,
            evaluated=running.evaluated,
            findings=list(running.findings),
            fired=running.fired,
            details=dict(getattr(rule, "details", {})),
        )


def _taken(rule: TensorRule) -> list[Finding]:
    found, rule.findings = rule.findings, []
    return found


def _own_finding(name: str, save: Save) -> Finding:
    return Finding(
        rule=name,
        what=f"{name} is met at step {save.mode_step} ({save.mode.name})",
        advice="see the rule's own description",
        step=save.mode_step,
        mode=save.mode.name,
        time=save.time or None,
    )


def evaluate(
    run: Run,
    rules: Iterable[str] | None = None,
    parameter_set: ParameterSet = "recommended",
    parameters: Parameters | None = None,
    watch: Callable[[Save], None] | None = None,
) -> list[RuleResult]:
    """What the rules say of a job's output: a RuleResult for each, in the order given.

    ``watch`` sees each save, too: who wants more of them need not read them again.
    Raises RuleError or ParameterError for rules or parameters that do not exist.
    """
    chosen = RuleSet(rules, parameter_set, parameters, keep=None)
    if run.tensors is not None:
        chosen.set_collections(read_collections(run.tensors))
        for save in saves(run.tensors):
            chosen.save(save)
            if watch is not None:
                watch(save)
    chosen.profile(run)
    chosen.end()
    return chosen.results()
