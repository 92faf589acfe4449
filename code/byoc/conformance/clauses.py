"""The catalogue of clauses: each is one function whose docstring is its documentation."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

from byoc.conformance.image import Image

Check = Callable[[Image], str]
"""Returns what was seen; raises ``Failed``, ``NotApplicable`` or ``NotTried``."""

_MODULES = {
    "image": ("byoc.conformance.manifest", "byoc.conformance.contents"),
    "training": (
        "byoc.conformance.training.start",
        "byoc.conformance.training.inputs",
        "byoc.conformance.training.scripts",
        "byoc.conformance.training.results",
        "byoc.conformance.training.stops",
        "byoc.conformance.training.surroundings",
        "byoc.conformance.training.hosts",
    ),
    "serving": (
        "byoc.conformance.serving.start",
        "byoc.conformance.serving.health",
        "byoc.conformance.serving.requests",
        "byoc.conformance.serving.life",
        "byoc.conformance.serving.own_code",
        "byoc.conformance.serving.multi_model",
        "byoc.conformance.serving.batch",
    ),
}
"""By part of the contract, the modules whose import registers its clauses."""

_SECTION = re.compile(r"^(How|Remedy|AWS): *", re.MULTILINE)

_catalogue: dict[str, Clause] = {}


@dataclass(frozen=True)
class Clause:
    """``asked`` in one line; ``how`` it is tried; the usual ``remedy``; AWS's ``page``."""

    id: str
    asked: str
    how: str
    remedy: str
    page: str
    check: Check


def clause(name: str) -> Callable[[Check], Check]:
    """Registers a check under a clause's id."""

    def register(check: Check) -> Check:
        asked, *sections = _SECTION.split(inspect.getdoc(check) or "")
        texts = dict(zip(sections[::2], (_one_line(it) for it in sections[1::2]), strict=True))
        _catalogue[name] = Clause(
            name, _one_line(asked), texts["How"], texts["Remedy"], texts["AWS"], check
        )
        return check

    return register


def catalogue(*parts: str) -> list[Clause]:
    """The clauses of these parts of the contract (all parts without any), by id."""
    wanted: set[str] = set()
    for part in parts or _MODULES:
        wanted |= set(_MODULES[part])
        for module in _MODULES[part]:
            importlib.import_module(module)
    found = [it for it in _catalogue.values() if it.check.__module__ in wanted]
    return sorted(found, key=lambda it: it.id)


def _one_line(text: str) -> str:
    return " ".join(text.split())
