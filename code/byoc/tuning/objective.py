"""A trial's metrics, read from its stdout by the expressions that SageMaker would use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from byoc.tuning.definition import Definition

_EPOCH = re.compile(r"\bepoch=(\d+)\b")


class Curve:
    """The objective's values in the order in which they were printed.

    ``points``: epoch to value. The epoch is the one that the line names (``epoch=3``), else the
    number of values so far. ``last`` is what SageMaker takes for a job's objective: the last value
    that was printed. ``others``: such points of the definition's other metrics, by name.
    """

    def __init__(self, definition: Definition) -> None:
        self._objective = definition.objective
        self._expressions = {it["Name"]: re.compile(it["Regex"]) for it in definition.definitions}
        self.points: dict[int, float] = {}
        self.last: float | None = None
        self.others: dict[str, dict[int, float]] = {}

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            for name, expression in self._expressions.items():
                for match in expression.finditer(line):
                    try:
                        value = float(match[1])
                    except (TypeError, ValueError):
                        continue  # a group that took part in no match, or matched no number
                    self._add(name, line, value)

    def _add(self, name: str, line: str, value: float) -> None:
        is_objective = name == self._objective
        points = self.points if is_objective else self.others.setdefault(name, {})
        epoch = _EPOCH.search(line)
        points.setdefault(int(epoch[1]) if epoch else len(points) + 1, value)
        if is_objective:
            self.last = value
