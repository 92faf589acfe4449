"""How a hyperparameter's text becomes a value, and what is allowed, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_TOP = 2**31 - 1

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Kind:
    """``parse`` raises ``ValueError`` (or ``OverflowError``) for what ``allowed`` does not name."""

    allowed: str
    parse: Callable[[str], Any]

    def or_empty(self, value: object, meaning: str) -> Kind:
        """The same kind, where an empty text is ``value`` as well."""
        return Kind(
            f"{self.allowed}, or empty ({meaning})",
            lambda text: self.parse(text) if text.strip() else value,
        )

    def but(self, meaning: str) -> Kind:
        """The same kind with a remark to what is allowed."""
        return Kind(f"{self.allowed} ({meaning})", self.parse)


def integer(low: int, high: int = _TOP) -> Kind:
    """Whole numbers; ``8.0`` is one, because a tuner may send it."""

    def parse(text: str) -> int:
        number = float(text)
        if not number.is_integer() or not low <= number <= high:
            raise ValueError
        return int(number)

    return Kind(f"a whole number from {low}" + (" up" if high == _TOP else f" to {high}"), parse)


def number(test: Callable[[float], bool], allowed: str) -> Kind:
    """Finite numbers that pass ``test``."""

    def parse(text: str) -> float:
        found = float(text)
        if not math.isfinite(found) or not test(found):
            raise ValueError
        return found

    return Kind(allowed, parse)


def one_of(values: tuple[str, ...], aliases: Mapping[str, str] | None = None) -> Kind:
    """One of ``values``; an alias is taken for the value that it stands for."""
    known = {**{value: value for value in values}, **(aliases or {})}

    def parse(text: str) -> str:
        if text not in known:
            raise ValueError
        return known[text]

    return Kind("one of " + ", ".join(values), parse)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError
    return names


def _steps(text: str) -> str:
    first, dash, last = text.partition("-")
    if not dash or not 0 <= int(first) <= int(last):
        raise ValueError
    return f"{int(first)}-{int(last)}"


BOOLEAN = Kind("one of true, false, 1, 0, yes, no", _boolean)
WORDS = Kind("not empty", _words)
TEXT = Kind("any text", str)
STEPS = Kind("the first and the last step, as 10-19", _steps)
COLUMN = Kind("a column's name", _words)
NAMES = Kind("two or more different names with commas between them", _names)
POSITIVE = number(lambda x: x > 0, "a number above 0")
NOT_NEGATIVE = number(lambda x: x >= 0, "a number from 0 up")
BELOW_ONE = number(lambda x: 0 <= x < 1, "a number from 0 to below 1")
UP_TO_ONE = number(lambda x: 0 < x <= 1, "a number above 0, at most 1")
BETWEEN = number(lambda x: 0 < x < 1, "a number between 0 and 1")
