"""What a rule says of a job; rules make it, actions and the report take it."""

from __future__ import annotations

from dataclasses import dataclass, field
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
