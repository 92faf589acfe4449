"""A definition as Optuna's search space, sampler and pruner."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from byoc.tuning.definition import Definition
from byoc.tuning.ranges import Categorical, Continuous, Integer, Range, is_logarithmic

COMPARED_FROM = 3
"""Curves that must be there before one is stopped for being worse than they."""

_STARTUP_SHARE = 4
"""A quarter of the trials is sampled at random before TPE takes over, between the bounds below."""
_STARTUP_LEAST, _STARTUP_MOST = 3, 10

_REVERSE = " from 1"
"""A ReverseLogarithmic range is searched as the distance from 1, under this name."""


def distributions(definition: Definition) -> dict[str, BaseDistribution]:
    """What Optuna samples, by its own names (``values`` turns them back)."""
    return dict(_distribution(it) for it in definition.ranges)


def _distribution(it: Range) -> tuple[str, BaseDistribution]:
    if isinstance(it, Categorical):
        return it.name, CategoricalDistribution(it.values)
    if isinstance(it, Integer):
        return it.name, IntDistribution(it.low, it.high, log=is_logarithmic(it))
    if it.scaling == "ReverseLogarithmic":
        return it.name + _REVERSE, FloatDistribution(1 - it.high, 1 - it.low, log=True)
    return it.name, FloatDistribution(it.low, it.high, log=is_logarithmic(it))


def values(definition: Definition, params: Mapping[str, Any]) -> dict[str, str]:
    """A trial's hyperparameters, as a job gets them, in the definition's order."""
    found = {}
    for it in definition.ranges:
        if isinstance(it, Continuous) and it.scaling == "ReverseLogarithmic":
            number = 1 - params[it.name + _REVERSE]
            found[it.name] = repr(min(max(number, it.low), it.high))
        else:
            found[it.name] = str(params[it.name])
    return found


def params(definition: Definition, given: Mapping[str, str]) -> dict[str, Any] | None:
    """The reverse of ``values``; None where a value is missing or out of its range."""
    found: dict[str, Any] = {}
    for it in definition.ranges:
        if it.name not in given:
            return None
        name, distribution = _distribution(it)
        value: Any = given[it.name]
        try:
            if isinstance(it, Continuous):
                value = 1 - float(value) if name != it.name else float(value)
            elif isinstance(it, Integer):
                value = int(float(value))
            if not distribution._contains(distribution.to_internal_repr(value)):
                return None
        except ValueError:
            return None
        found[name] = value
    return found


def grid(definition: Definition) -> Iterator[dict[str, str]]:
    """Every point of a grid of categorical ranges, in an order that the seed gives."""
    ranges = [it for it in definition.ranges if isinstance(it, Categorical)]
    points = list(itertools.product(*(it.values for it in ranges)))
    random.Random(definition.seed).shuffle(points)  # noqa: S311  (no secret hangs on it)
    for point in points:
        yield {it.name: value for it, value in zip(ranges, point, strict=True)}


def sampler(definition: Definition, number: int) -> optuna.samplers.BaseSampler:
    """What proposes trial ``number``.

    A sampler's state is not kept with the study. Seeded for each trial anew, one that goes on and
    one in another process draw what the first one would have drawn, and nothing twice.
    """
    seed = random.Random(f"{definition.seed} {number}").getrandbits(32)  # noqa: S311
    if definition.strategy in ("Random", "Grid"):
        return optuna.samplers.RandomSampler(seed=seed)
    startup = definition.max_jobs // _STARTUP_SHARE
    return optuna.samplers.TPESampler(
        n_startup_trials=min(max(startup, _STARTUP_LEAST), _STARTUP_MOST),
        # Ranges are looked at together: the best learning rate hangs on the batch size.
        multivariate=True,
        # Trials that still run count as bad ones, so that parallel trials are not all alike.
        constant_liar=True,
        seed=seed,
    )


def pruner(definition: Definition) -> optuna.pruners.BasePruner:
    if definition.strategy == "Hyperband":
        low, high = definition.resources
        return optuna.pruners.HyperbandPruner(min_resource=low, max_resource=high)
    if definition.early_stopping == "Auto":
        return MedianOfAverages()
    return optuna.pruners.NopPruner()


class MedianOfAverages(optuna.pruners.BasePruner):
    """SageMaker's rule for early stopping Auto.

    A trial is stopped after an epoch whose value is worse than the median of the other trials'
    running averages up to that epoch. Source: AWS's page automatic-model-tuning-early-stopping,
    which leaves open how many trials must be there: ``COMPARED_FROM`` here.
    """

    def prune(self, study: optuna.study.Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None:
            return False
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        averages = [
            average
            for other in ended
            if other.number != trial.number and (average := _average(other, epoch)) is not None
        ]
        if len(averages) < COMPARED_FROM:
            return False
        value, middle = trial.intermediate_values[epoch], median(averages)
        if study.direction == optuna.study.StudyDirection.MINIMIZE:
            return not value <= middle  # not a number is worse than any
        return not value >= middle


def _average(trial: FrozenTrial, epoch: int) -> float | None:
    """The mean of the values up to ``epoch``; None for a trial that did not get so far."""
    found = trial.intermediate_values
    if epoch not in found:
        return None
    upto = [value for step, value in found.items() if step <= epoch]
    return sum(upto) / len(upto)
