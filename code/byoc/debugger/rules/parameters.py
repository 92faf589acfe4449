"""A rule's parameters: their two defaults, their checks, and how a string becomes a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ParameterSet = Literal["aws", "recommended"]
SETS: tuple[ParameterSet, ...] = ("aws", "recommended")
_SAME = object()


class ParameterError(ValueError):
    """A parameter that the rule does not have, or a value that it cannot take."""


@dataclass(frozen=True)
class Parameter:
    """``read`` makes the value of what was given (often a string) or raises ValueError with what
    is wanted. ``ours``: AWS has no such parameter; its ``aws`` default leaves AWS's rule as it is.
    """

    name: str
    read: Callable[[Any], Any]
    aws: Any
    recommended: Any = _SAME
    text: str = ""
    ours: bool = False

    def default(self, parameter_set: ParameterSet) -> Any:
        if parameter_set == "aws" or self.recommended is _SAME:
            return self.aws
        return self.recommended


def resolve(
    rule: str,
    parameters: Iterable[Parameter],
    parameter_set: ParameterSet,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Every parameter's value: the given one, checked, else the set's default.

    Raises ParameterError with the rule, the name and what is wanted.
    """
    if parameter_set not in SETS:
        raise ParameterError(f"parameter set {parameter_set!r}: choose aws or recommended")
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            wanted = ", ".join(known) or "none"
            raise ParameterError(f"rule {rule} has no parameter {name!r}; it has: {wanted}")
    values = {}
    for name, parameter in known.items():
        value = given.get(name, _SAME)
        if value is _SAME:
            value = parameter.default(parameter_set)
        if value is not None:
            try:
                value = parameter.read(value)
            except (ValueError, TypeError) as error:
                raise ParameterError(f"rule {rule}: {name} is {value!r}: give {error}") from None
        values[name] = value
    return values


def _number(value: Any, wanted: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (ValueError, TypeError):
        raise ValueError(wanted) from None


def number(
    low: float | None = None, high: float | None = None, *, within: bool = False
) -> Callable[[Any], float]:
    """A float from ``low`` to ``high``; ``within``: the bounds themselves are not allowed."""
    if low is None and high is None:
        wanted = "a number"
    elif within:
        wanted = f"a number over {low:g}" + ("" if high is None else f" and under {high:g}")
    else:
        wanted = f"a number from {low:g}" + (" on" if high is None else f" to {high:g}")

    def read(value: Any) -> float:
        result = _number(value, wanted)
        low_fails = low is not None and (result <= low if within else result < low)
        high_fails = high is not None and (result >= high if within else result > high)
        if low_fails or high_fails or result != result:
            raise ValueError(wanted)
        return result

    return read


def count(low: int = 1) -> Callable[[Any], int]:
    wanted = f"a whole number from {low} on"

    def read(value: Any) -> int:
        result = _number(value, wanted)
        if result < low or result != int(result):
            raise ValueError(wanted)
        return int(result)

    return read


def percentage(value: Any) -> float:
    return number(0, 100)(value)


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in {"true", "false"}:
        raise ValueError("True or False")
    return text == "true"


def text(value: Any) -> str:
    result = str(value).strip()
    if not result:
        raise ValueError("a text that is not empty")
    return result


def names(value: Any) -> tuple[str, ...]:
    """A list, or a comma-separated string."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    result = tuple(str(part).strip() for part in parts if str(part).strip())
    if not result:
        raise ValueError("a list of names, or names with commas between")
    return result


def patterns(value: Any) -> tuple[str, ...]:
    """Regular expressions; a comma parts two of them, as in AWS's strings, unless in {1,2}."""
    parts = re.split(r",(?![^{]*\})", value) if isinstance(value, str) else list(value)
    result = tuple(str(part).strip() for part in parts if str(part).strip())
    for pattern in result:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"regular expressions ({pattern!r}: {error})") from None
    if not result:
        raise ValueError("a regular expression, or several with commas between")
    return result


def numbers(value: Any) -> tuple[float, ...]:
    wanted = "a number, or numbers with commas between"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = [value]
    parts = value.strip("()[] ").split(",") if isinstance(value, str) else list(value)
    result = tuple(_number(part, wanted) for part in parts if str(part).strip())
    if not result:
        raise ValueError(wanted)
    return result


def bounds(value: Any) -> tuple[float, float]:
    """(min, max)."""
    result = numbers(value)
    if len(result) != 2 or result[0] >= result[1]:
        raise ValueError("two numbers, the lower one first")
    return result[0], result[1]


def mode(value: Any) -> str:
    result = str(value).strip().upper().removeprefix("MODEKEYS.")
    if result not in {"TRAIN", "EVAL", "PREDICT", "GLOBAL"}:
        raise ValueError("EVAL, TRAIN, PREDICT or GLOBAL")
    return result
