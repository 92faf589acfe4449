"""What hyperparameters ask of debugging, checked before any work."""

from __future__ import annotations

from byoc.debugger import actions, library
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault


def check(config: TrainingConfig) -> None:
    """Raises ``TrainingFault`` for rules, parameters, collections or actions that there are not."""
    try:
        actions.parse(config.debug_actions)
        library.load()
        # Only after smdebug is there as it must be.
        from byoc.debugger.capture import live, settings

        settings.check_collections(config.debug_collections)
        live.make(config.debug_rules, config.debug_rule_set)
    except library.LibraryError:
        return  # told, in one line, where debugging begins
    except Exception as error:
        said = " ".join(str(error).split())
        raise TrainingFault(f"hyperparameters: debugging: {said}") from error


def steps(text: str) -> tuple[int, int] | None:
    """Of debug-profile-steps: the first and the last."""
    first, dash, last = text.partition("-")
    return (int(first), int(last)) if dash else None
