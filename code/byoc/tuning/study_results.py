"""A study's trials as results."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from byoc.tuning import search
from byoc.tuning.definition import Definition
from byoc.tuning.results import TrialResult, TuningResult
from byoc.tuning.study import Study


def read(study: Study) -> TuningResult:
    """How the tuning stands at this moment."""
    plan, trials = study.plan, study.trials()
    definition = plan.definition
    found = tuple(_trial(definition, it) for it in trials)
    return TuningResult(
        name=study.name,
        where=plan.where,
        objective=definition.objective,
        direction=definition.direction,
        status=_status(study, definition, trials),
        jobs=definition.jobs,
        fixed={**plan.job.hyperparameters, **definition.fixed},
        trials=found,
        ranges=definition.ranges,
        cause=study.stop_reason,
    )


def _status(study: Study, definition: Definition, trials: list[FrozenTrial]) -> str:
    if any(not it.state.is_finished() for it in trials):
        return "InProgress"
    if study.stop_reason:
        return "Stopped"
    return "Completed" if len(trials) >= definition.jobs else "InProgress"


def _trial(definition: Definition, trial: FrozenTrial) -> TrialResult:
    facts = trial.user_attrs
    running = trial.state == TrialState.RUNNING
    curve = trial.intermediate_values
    whole = all(name in trial.params for name in search.distributions(definition))
    return TrialResult(
        number=trial.number,
        job=facts.get("attempts", [""])[-1],
        status="InProgress" if running else facts.get("status", "Failed"),
        values=search.values(definition, trial.params) if whole else {},
        value=curve[max(curve)] if running and curve else trial.value,
        cause=facts.get("cause", ""),
        curve=dict(curve),
        metrics={
            name: {int(epoch): value for epoch, value in points.items()}
            for name, points in facts.get("metrics", {}).items()
        },
        started=facts.get("started"),
        ended=None if running else facts.get("ended"),
        artifact=facts.get("artifact", ""),
    )
