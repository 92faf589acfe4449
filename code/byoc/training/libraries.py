"""How libraries are imported: without what no step needs, and without the garbage collector."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HIDDEN = ("matplotlib", "scipy", "sklearn", "PIL", "rich", "torchvision")
"""What Lightning's torchmetrics and transformers import where it is installed, for metrics, plots,
images and progress bars that no text classifier has: a quarter of the time of all imports. No image
of ours holds torchvision, but one made from it may, and it cannot be imported without PIL."""


@contextmanager
def importing() -> Iterator[None]:
    """Within it ``HIDDEN`` cannot be imported, as if it were not installed; afterwards it can.

    Without the garbage collector, because it would look again and again through the hundreds of
    thousands of objects that are made and stay; it leaves them out afterwards, too.
    """
    known, was_on = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        with _without([name for name in HIDDEN if name not in sys.modules]):
            yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def _without(names: list[str]) -> Iterator[None]:
    # Lightning asks for an installed package's version, not for the module.
    from lightning_utilities.core.imports import RequirementCache

    knows = RequirementCache.__bool__

    def knows_others(requirement: RequirementCache) -> bool:
        return not (requirement.requirement or "").startswith(tuple(names)) and knows(requirement)

    # None is Python's own word for a module that must not be found.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    RequirementCache.__bool__ = knows_others  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        RequirementCache.__bool__ = knows  # type: ignore[method-assign]
        for name in names:
            del sys.modules[name]
