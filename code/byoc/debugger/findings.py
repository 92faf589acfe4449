"""What a rule says of a job; rules make it, actions and the report take it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["fired", "quiet", "not evaluated"]


@dataclass(frozen=True)
class Finding:
    """A rule has fired once.

    ``step``: smdebug's step number in ``mode`` (None for rules over metrics by time);
    ``time``: seconds since 1970; ``what``: one sentence with the numbers; ``advice``: what it
    means and what to change, with a number where there is one; ``values``: the numbers by name.
    """

    rule: str
    what: str
    advice: str
    step: int | None = None
    mode: str | None = None
    time: float | None = None
    tensor: str | None = None
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class RuleResult:
    """Of one rule over one job; ``reason`` says why it was not evaluated."""

    rule: str
    kind: Literal["tensor", "profiler"]
    parameters: dict[str, Any]
    parameter_set: str
    status: Status
    reason: str = ""
    evaluated: int = 0
    """Steps, or samples, that it looked at."""
    findings: list[Finding] = field(default_factory=list)
    """The first ones; ``fired`` counts them all."""
    fired: int = 0
    details: dict[str, float] = field(default_factory=dict)
    """What it measured, fired or not: the profiler rules' numbers."""


def to_json(results: Iterable[RuleResult]) -> str:
    """rules.json: a list of results, NaN and infinity as null."""
    return json.dumps([_plain(asdict(result)) for result in results], indent=1, allow_nan=False)


def from_json(text: str) -> list[RuleResult]:
    """What ``to_json`` wrote. Raises ValueError where it is something else."""
    try:
        return [
            RuleResult(**{**each, "findings": [Finding(**f) for f in each["findings"]]})
            for each in json.loads(text)
        ]
    except (TypeError, KeyError) as error:
        raise ValueError(f"not the results of rules: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
