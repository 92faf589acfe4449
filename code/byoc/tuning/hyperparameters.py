"""Would `train` take what a definition gives it? Asked of its own parser, before anything runs."""

from __future__ import annotations

from byoc.training.config import parse_hyperparameters
from byoc.training.faults import TrainingFault
from byoc.tuning.definition import Definition

_SCRIPT = "sagemaker_program"


def faults(definition: Definition, others: dict[str, str]) -> list[str]:
    """What `train` would say to the fixed values with each end of each range, without repeats.

    ``others``: hyperparameters that the jobs get besides. In script mode the script decides, so
    there is nothing to say.
    """
    fixed = {**others, **definition.fixed}
    if _SCRIPT in fixed:
        return []
    first = {it.name: it.ends[0] for it in definition.ranges}
    found: dict[str, None] = {}
    for it in definition.ranges:
        for end in it.ends:
            try:
                parse_hyperparameters({**fixed, **first, it.name: end})
            except TrainingFault as fault:
                said = str(fault).removeprefix("hyperparameters: ")
                found.update(dict.fromkeys(part for part in said.split("; ") if part))
    return [*found]
