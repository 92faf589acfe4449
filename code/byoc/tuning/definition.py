"""What is tuned: objective, ranges, strategy and limits. The same for every place.

``check`` names everything that is wrong at once, the API's limits included, so that nobody pays
for a tuning job to learn of a typing error.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from byoc.launch.errors import LaunchError
from byoc.metric_lines import METRIC_DEFINITIONS
from byoc.tuning.ranges import Categorical, Range

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
GOALS = ("Minimize", "Maximize")
EARLY_STOPPING = ("Off", "Auto")
WARM_STARTS = ("IdenticalDataAndAlgorithm", "TransferLearning")

Goal = Literal["Minimize", "Maximize"]

# Source: the API's service model in botocore, and the pages API_ParameterRanges,
# API_HyperbandStrategyConfig and automatic-model-tuning-define-ranges of AWS's guides.
MOST_RANGES = 30
MOST_METRICS = 40
LONGEST_REGEX = 500
LONGEST_METRIC_NAME = 255
MOST_HYPERPARAMETERS = 99
"""100, of which SageMaker itself takes one for the objective's name."""
LONGEST_NAME, LONGEST_VALUE, LONGEST_RANGE_VALUE = 256, 2500, 256
MOST_PARENTS = 5
MOST_EPOCHS = 20_000
LEAST_RUNTIME, MOST_RUNTIME = 120, 15_768_000
LARGEST_SEED = 2**32 - 1

TUNING_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")

_MAXIMIZED = re.compile(r"mcc|acc|f1|auc|precision|recall|score", re.IGNORECASE)
_MINIMIZED = re.compile(r"loss|error|perplexity", re.IGNORECASE)

_EPOCHS = "epochs"


@dataclass(frozen=True)
class Definition:
    """``fixed``: hyperparameters that all trials share; ``metrics``: name to expression, of which
    ``objective`` is one; ``min_epochs``, ``max_epochs``: Hyperband's resources (0: 1, and the
    fixed hyperparameter epochs); ``max_runtime``: seconds of one trial; ``warm_start``: names of
    earlier tunings; ``max_parallel``: of one machine or, on SageMaker, in all."""

    objective: str = "val_mcc"
    goal: str = ""
    ranges: tuple[Range, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    strategy: str = "Bayesian"
    max_jobs: int = 12
    max_parallel: int = 1
    early_stopping: str = "Off"
    warm_start: tuple[str, ...] = ()
    warm_start_type: str = WARM_STARTS[0]
    min_epochs: int = 0
    max_epochs: int = 0
    max_runtime: int = 24 * 3600
    seed: int = 0

    @property
    def direction(self) -> Goal:
        """The goal, which follows from the objective's name where none is given."""
        if self.goal:
            return "Maximize" if self.goal == "Maximize" else "Minimize"
        return "Minimize" if _MINIMIZED.search(self.objective) else "Maximize"

    @property
    def definitions(self) -> tuple[dict[str, str], ...]:
        """MetricDefinitions: what `train` prints, and the user's own."""
        known = {it["Name"]: it["Regex"] for it in METRIC_DEFINITIONS}
        return tuple(
            {"Name": name, "Regex": regex} for name, regex in {**known, **self.metrics}.items()
        )

    @property
    def expression(self) -> str:
        """The objective's regular expression."""
        return next(it["Regex"] for it in self.definitions if it["Name"] == self.objective)

    @property
    def jobs(self) -> int:
        """How many trials there are at most; a grid has as many as it has points."""
        return self.grid_size if self.strategy == "Grid" else self.max_jobs

    @property
    def grid_size(self) -> int:
        return math.prod(len(it.values) for it in self.ranges if isinstance(it, Categorical))

    @property
    def resources(self) -> tuple[int, int]:
        """Hyperband's smallest and largest number of epochs."""
        return self.min_epochs or 1, self.max_epochs or _whole(self.fixed.get(_EPOCHS)) or 0


def check(definition: Definition, known: Sequence[str] = ()) -> None:
    """Raises ``LaunchError`` that names every fault of the definition, after those ``known``."""
    faults = [*known, *_faults(definition)]
    if faults:
        raise LaunchError("this tuning cannot be run: " + "; ".join(faults))


def _faults(it: Definition) -> Iterator[str]:
    yield from _range_faults(it)
    yield from _hyperparameter_faults(it)
    yield from _metric_faults(it)
    yield from _strategy_faults(it)
    yield from _limit_faults(it)


def _range_faults(it: Definition) -> Iterator[str]:
    if not it.ranges:
        yield "it has no ranges, so there is nothing to tune"
    if len(it.ranges) > MOST_RANGES:
        yield f"it has {len(it.ranges)} ranges, and {MOST_RANGES} are allowed"
    for name, count in Counter(found.name for found in it.ranges).items():
        if count > 1:
            yield f"there are {count} ranges named {name}"
        if name in it.fixed:
            yield f"{name} is both fixed and a range: leave one of them out"
        if not 0 < len(name) <= LONGEST_NAME:
            yield f"the name of range {name[:40]!r} must have 1 to {LONGEST_NAME} characters"
    for found in it.ranges:
        yield from found.faults()
        for value in found.ends:
            if len(value) > LONGEST_RANGE_VALUE:
                yield f"range {found.name}: a value has more than {LONGEST_RANGE_VALUE} characters"


def _hyperparameter_faults(it: Definition) -> Iterator[str]:
    count = len(it.ranges) + len(it.fixed)
    if count > MOST_HYPERPARAMETERS:
        yield (
            f"it has {count} hyperparameters, and {MOST_HYPERPARAMETERS} are allowed "
            "(ranges and fixed ones together; SageMaker adds one)"
        )
    for name, value in it.fixed.items():
        if len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            yield (
                f"fixed hyperparameter {name[:40]}: at most {LONGEST_NAME} characters in the name "
                f"and {LONGEST_VALUE} in the value"
            )


def _metric_faults(it: Definition) -> Iterator[str]:
    found = it.definitions
    names = [metric["Name"] for metric in found]
    if it.objective not in names:
        yield (
            f"objective {it.objective!r} is no metric: one of {', '.join(names)}, or define it "
            "under metrics"
        )
    elif it.goal not in ("", *GOALS):
        yield f"goal {it.goal!r} is not one of {', '.join(GOALS)}"
    elif not it.goal and not (_MAXIMIZED.search(it.objective) or _MINIMIZED.search(it.objective)):
        yield f"objective {it.objective} does not tell its goal: give goal Minimize or Maximize"
    if len(found) > MOST_METRICS:
        yield f"it has {len(found)} metrics, and {MOST_METRICS} are allowed"
    for metric in found:
        yield from _expression_faults(metric["Name"], metric["Regex"])


def _expression_faults(name: str, regex: str) -> Iterator[str]:
    if not 0 < len(name) <= LONGEST_METRIC_NAME:
        yield f"a metric's name must have 1 to {LONGEST_METRIC_NAME} characters"
    if not 0 < len(regex) <= LONGEST_REGEX:
        yield (
            f"metric {name}: its expression has {len(regex)} characters, and 1 to "
            f"{LONGEST_REGEX} are allowed"
        )
    try:
        groups = re.compile(regex).groups
    except re.error as error:
        yield f"metric {name}: its expression is none: {error}"
    else:
        if groups != 1:
            yield f"metric {name}: its expression must have one group, and has {groups}"


def _strategy_faults(it: Definition) -> Iterator[str]:
    if it.strategy not in STRATEGIES:
        yield f"strategy {it.strategy!r} is not one of {', '.join(STRATEGIES)}"
    if it.early_stopping not in EARLY_STOPPING:
        yield f"early-stopping {it.early_stopping!r} is not one of {', '.join(EARLY_STOPPING)}"
    if it.strategy == "Grid":
        others = [found.name for found in it.ranges if not isinstance(found, Categorical)]
        if others:
            yield f"strategy Grid takes categorical ranges only: {', '.join(others)} are none"
    if it.strategy == "Hyperband":
        low, high = it.resources
        if it.early_stopping == "Auto":
            yield "strategy Hyperband stops trials by itself: early-stopping must be Off"
        if not high:
            yield "strategy Hyperband needs max-epochs, or epochs among the fixed hyperparameters"
        elif not low < high <= MOST_EPOCHS:
            yield f"Hyperband's epochs must rise from {low} to at most {MOST_EPOCHS}, not {high}"
    elif it.min_epochs or it.max_epochs:
        yield "min-epochs and max-epochs are for strategy Hyperband only"


def _limit_faults(it: Definition) -> Iterator[str]:
    if it.max_jobs < 1 or it.max_parallel < 1:
        yield "max-jobs and max-parallel must be 1 or more"
    elif it.max_parallel > it.jobs > 0:
        yield f"max-parallel {it.max_parallel} is more than the {it.jobs} trials there are"
    if it.max_runtime < 1:
        yield "max-runtime must be 1 second or more"
    if not 0 <= it.seed <= LARGEST_SEED:
        yield f"seed must be from 0 to {LARGEST_SEED}"
    if len(it.warm_start) > MOST_PARENTS:
        yield f"warm-start names {len(it.warm_start)} tunings, and {MOST_PARENTS} are allowed"
    for name in it.warm_start:
        if not TUNING_NAME.fullmatch(name):
            yield f"warm-start {name!r} is no tuning's name"
    if it.warm_start_type not in WARM_STARTS:
        yield f"warm-start-type {it.warm_start_type!r} is not one of {', '.join(WARM_STARTS)}"


def check_name(name: str) -> str:
    """The name of a tuning; raises ``LaunchError`` for what the API would refuse."""
    if not TUNING_NAME.fullmatch(name):
        raise LaunchError(
            f"{name!r} is no name for a tuning: letters, digits and inner hyphens, at most 32"
        )
    return name


def _whole(text: str | None) -> int:
    try:
        return int(float(text or 0))
    except ValueError:
        return 0
