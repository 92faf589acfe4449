"""Takes secrets out of what is written for others to read: failure files become FailureReason."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from byoc import contract

_NAMES = re.compile(
    r"secret|token(?!iz)|password|passwd|credential|api_?key|access_?key", re.IGNORECASE
)
_SHORTEST = 8
"""Shorter values would take ordinary words out of the text."""


def secrets(text: str) -> str:
    """``text`` with each value of a secret-looking variable or hyperparameter as ``***``."""
    for value in sorted(_values(), key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def _values() -> set[str]:
    try:
        hyperparameters = contract.read_config("hyperparameters.json", default={})
    except (OSError, ValueError):
        hyperparameters = {}
    named: list[Mapping[str, object]] = [os.environ]
    if isinstance(hyperparameters, dict):
        named.append(hyperparameters)
    return {
        str(value).strip('"')
        for mapping in named
        for name, value in mapping.items()
        if _NAMES.search(name.replace("-", "_")) and len(str(value)) >= _SHORTEST
    }
