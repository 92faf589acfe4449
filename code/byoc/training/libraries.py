"""What libraries are kept from doing while they are imported."""

from __future__ import annotations


def hide_matplotlib() -> None:
    """Keeps torchmetrics, which Lightning imports, from importing all of matplotlib with it.

    That is a tenth of the imports' time, and a line in the log where the home folder cannot be
    written to. Our own pictures import matplotlib themselves, after training.
    """
    from lightning_utilities.core.imports import RequirementCache

    known = RequirementCache.__bool__

    def without(requirement: RequirementCache) -> bool:
        return requirement.requirement != "matplotlib" and known(requirement)

    RequirementCache.__bool__ = without  # type: ignore[method-assign, assignment]
