"""What a tuning will take in time and money, and what it may take at most."""

from __future__ import annotations

import math
import statistics
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from byoc.launch.errors import LaunchError
from byoc.tuning.definition import Definition
from byoc.tuning.results import TrialResult, TuningResult

HOUR = 3600.0


@dataclass(frozen=True)
class Budget:
    """``seconds`` of the whole tuning and ``cost`` of all its trials at most, 0: no limit;
    ``price``: of an hour of one trial's instance, None where it is not known. The currency is that
    of the user's price table."""

    seconds: float = 0.0
    cost: float = 0.0
    price: float | None = None

    def limit(self, result: TuningResult) -> str:
        """Why the tuning must end now; empty where it may go on."""
        now = time.time()
        if self.seconds and span(result.trials, now) >= self.seconds:
            return f"--max-time is up: {self.seconds:g} s"
        if self.cost and self.price is not None:
            spent = sum(it.seconds(now) for it in result.trials) / HOUR * self.price
            if spent >= self.cost:
                return f"--max-cost is spent: {spent:.2f} of {self.cost:g}"
        return ""

    def runtime(self, definition: Definition) -> int:
        """Whole seconds that the tuning may run on SageMaker, whoever watches; 0: no limit.

        For a cost: as if all parallel trials ran all the time, so that it cannot be exceeded.
        """
        limits = [self.seconds] if self.seconds else []
        if self.cost and self.price:
            limits.append(self.cost / self.price / definition.max_parallel * HOUR)
        return int(min(limits, default=0))


def span(trials: Iterable[TrialResult], now: float) -> float:
    """Seconds in which at least one of the trials ran: pauses of the tuning are not counted."""
    spans = sorted((it.started, it.ended or now) for it in trials if it.started)
    total, upto = 0.0, -math.inf
    for start, end in spans:
        total += max(0.0, end - max(start, upto))
        upto = max(upto, end)
    return total


def read_price(table: Path | None, instance: str) -> float | None:
    """The price of an hour of ``instance`` in the user's table, TOML: ``"ml.g5.xlarge" = 1.41``.

    Raises ``LaunchError`` where the table cannot be read or does not name the instance.
    """
    if table is None:
        return None
    try:
        prices = tomllib.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaunchError(f"cannot read the prices of {table}: {error}") from error
    price = prices.get(instance)
    if isinstance(price, bool) or not isinstance(price, int | float) or price < 0:
        raise LaunchError(f'{table} has no price of an hour: it needs a line "{instance}" = PRICE')
    return float(price)


def estimate(definition: Definition, budget: Budget, known: Iterable[TrialResult]) -> str:
    """What the tuning is going to take, in one line.

    From the median of the trials that are ``known`` to have completed (of this tuning or of one
    that it starts from); without any only the most that it can take.
    """
    jobs, rounds = definition.jobs, math.ceil(definition.jobs / definition.max_parallel)
    trials = f"{jobs} trials, {definition.max_parallel} at a time"
    took = [it.seconds(0.0) for it in known if it.status == "Completed" and it.started and it.ended]
    most = float(definition.max_runtime)
    if took:
        usual = statistics.median(took)
        word = f"about {_time(usual * rounds)}{_money(usual * jobs, budget)} by {len(took)} trials"
    else:
        word = "how long a trial takes is not known yet"
    runtime = budget.runtime(definition)
    bound = min(most * rounds, runtime) if runtime else most * rounds
    spent = min(most * jobs, bound * definition.max_parallel)
    return f"estimate: {trials}: {word}; at most {_time(bound)}{_money(spent, budget)}"


def _time(seconds: float) -> str:
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _money(seconds: float, budget: Budget) -> str:
    return "" if budget.price is None else f", cost {seconds / HOUR * budget.price:.2f}"
