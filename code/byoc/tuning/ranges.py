"""Ranges of hyperparameters, as SageMaker's ParameterRanges has them.

Values are kept as texts, the way SageMaker sends them: what is sampled here and what is sampled
there reaches the job in the same form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]

SCALINGS: tuple[Scaling, ...] = ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")

LOGARITHMIC_FROM = 10.0
"""Auto searches a range on a logarithmic scale where its end is so many times its start, or more.
SageMaker does not say how it chooses."""

MOST_VALUES = 30
"""Of one categorical range. Source: the API's CategoricalParameterRange."""


@dataclass(frozen=True)
class Continuous:
    """Real numbers from ``low`` to ``high``, both included."""

    name: str
    low: float
    high: float
    scaling: Scaling = "Auto"

    @property
    def ends(self) -> tuple[str, ...]:
        return (text(self.low), text(self.high))

    def faults(self) -> Iterator[str]:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            yield f"range {self.name}: its ends must be finite"
        elif not self.low < self.high:
            yield f"range {self.name}: min {text(self.low)} is not below max {text(self.high)}"
        if self.scaling == "Logarithmic" and not self.low > 0:
            yield f"range {self.name}: Logarithmic needs a min above 0"
        if self.scaling == "ReverseLogarithmic" and not (self.low >= 0 and self.high < 1):
            yield f"range {self.name}: ReverseLogarithmic needs 0 <= min and max < 1"


@dataclass(frozen=True)
class Integer:
    """Whole numbers from ``low`` to ``high``, both included."""

    name: str
    low: int
    high: int
    scaling: Scaling = "Auto"

    @property
    def ends(self) -> tuple[str, ...]:
        return (str(self.low), str(self.high))

    def faults(self) -> Iterator[str]:
        if not self.low < self.high:
            yield f"range {self.name}: min {self.low} is not below max {self.high}"
        if self.scaling == "Logarithmic" and self.low < 1:
            yield f"range {self.name}: Logarithmic needs a min above 0"
        if self.scaling == "ReverseLogarithmic":
            yield f"range {self.name}: ReverseLogarithmic is for continuous ranges only"


@dataclass(frozen=True)
class Categorical:
    """One of ``values``, between which there is no order."""

    name: str
    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        return self.values

    def faults(self) -> Iterator[str]:
        if not 1 <= len(self.values) <= MOST_VALUES:
            count = len(self.values)
            yield f"range {self.name}: {count} values, and 1 to {MOST_VALUES} are allowed"
        if len(set(self.values)) < len(self.values):
            yield f"range {self.name}: a value stands there twice"


Range = Continuous | Integer | Categorical


def as_table(found: Range) -> dict[str, Any]:
    """As it stands under ``ranges`` in a definition, without its name."""
    if isinstance(found, Categorical):
        return {"type": "Categorical", "values": list(found.values)}
    ends = {"min": found.low, "max": found.high, "scaling": found.scaling}
    return {"type": type(found).__name__, **ends}


def is_logarithmic(found: Continuous | Integer) -> bool:
    """Whether a range is searched on a logarithmic scale here."""
    if found.scaling == "Auto":
        return found.low > 0 and found.high / found.low >= LOGARITHMIC_FROM
    return found.scaling == "Logarithmic"


def text(value: object) -> str:
    """A hyperparameter's value as a job gets it: ``True`` is true, 1e-05 is 1e-05."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def short_text(value: str) -> str:
    """For people: four significant digits of a number that is not whole."""
    try:
        return f"{float(value):.4g}" if any(sign in value for sign in ".e") else value
    except ValueError:
        return value
