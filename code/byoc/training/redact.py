"""Takes secrets out of what is written for others to read: failure files become FailureReason."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from byoc import contract
from byoc.training.config import plain

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
    forms = {form for value in _values() for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return _FORMS.sub("***", text)


def _forms(value: str) -> set[str]:
    """As it is, and as messages may show it: in one line, or with escaped characters."""
    return {value, " ".join(value.split()), repr(value)[1:-1], json.dumps(value)[1:-1]}


def _values() -> set[str]:
    try:
        hyperparameters = contract.read_config("hyperparameters.json", default={})
    except (OSError, ValueError):
        hyperparameters = {}
    named: list[Mapping[str, object]] = [os.environ]
    if isinstance(hyperparameters, dict):
        named.append(hyperparameters)
    return {
        str(plain(value))
        for mapping in named
        for name, value in mapping.items()
        if _NAMES.search(name.replace("-", "_")) and len(str(value)) >= _SHORTEST
    }
