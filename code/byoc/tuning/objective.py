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
    that was printed.
    """

    def __init__(self, definition: Definition) -> None:
        self._expression = re.compile(definition.expression)
        self.points: dict[int, float] = {}
        self.last: float | None = None

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            for match in self._expression.finditer(line):
                try:
                    value = float(match[1])
                except (TypeError, ValueError):
                    continue  # a group that took part in no match, or matched no number
                epoch = _EPOCH.search(line)
                self.points.setdefault(int(epoch[1]) if epoch else len(self.points) + 1, value)
                self.last = value
