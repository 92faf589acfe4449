"""Takes secrets out of what is written for others to read: failure files become FailureReason."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from byoc import contract

_NAMES = re.compile(
    r"secret|token(?!iz)|password|passwd|credential|api_?key|access_?key", re.IGNORECASE
)
_FORMS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,})"
)
"""AWS's, the Hub's and GitHub's keys, whatever the value that holds one is called."""
_SHORTEST = 8
"""Shorter values would take ordinary words out of the text."""


def secrets(text: str) -> str:
    """``text`` with ``***`` for each value of a secret-looking variable or hyperparameter, and for
    what has a well-known key's form."""
    for value in sorted(_values(), key=len, reverse=True):
        text = text.replace(value, "***")
    return _FORMS.sub("***", text)


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
