"""What requests may hold, beyond their format: set once, by the environment and by the model."""

from __future__ import annotations

from dataclasses import dataclass

MAX_INPUTS = 10_000
"""Inputs of one request, where it is no batch transform's."""


@dataclass(frozen=True)
class Rules:
    """``max_inputs`` of one request; ``top_k`` where a request names none (None: all labels)."""

    is_batch: bool = False
    """Batch transform: one physical line is one record, and a bad one gets an error there."""
    pairs: bool | None = None
    """Whether the model was trained on sentence pairs; None: nobody knows."""
    has_header: bool = False
    """CSV bodies begin with a header, whatever their Content-Type says; never in batch."""
    max_inputs: int = MAX_INPUTS
    top_k: int | None = 1
    accept: str = ""
    """The media type of replies to requests without an Accept; empty: that of the request."""


_current = Rules()


def current() -> Rules:
    """The rules of this process: a worker holds one model."""
    return _current


def use(rules: Rules) -> None:
    global _current
    _current = rules
