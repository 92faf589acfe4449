"""Which of a definition's settings cannot matter: told before anything is spent on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress

from byoc.launch import jobs
from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.launch.requests import TrainingJob
from byoc.tuning.definition import Definition
from byoc.tuning.ranges import Categorical, Range
from byoc.tuning.request import trial_job

LENGTH = "max-length"
SCRIPT = "sagemaker_program"

_ENTRYPOINT = ["python", "-m", "byoc.training.longest"]
_LINE = "longest input: "
"""What that program prints before the number."""

_SAME_MODEL = {
    "num-workers": "it changes the speed only",
    "processes-per-host": "it changes the speed only",
    "gradient-accumulation-steps": "the gradients are the same, it changes memory and speed only",
    "gradient-checkpointing": "it changes memory and speed only",
    "compile": "it changes the speed only",
    "checkpoint-seconds": "it changes what a stop loses only",
    "checkpoint-keep": "it changes how many checkpoints are kept only",
}
_CHANNELS = {
    "validation-fraction": ("validation", "there is a validation channel"),
    "model-name-or-path": ("model", "there is a model channel, which wins"),
}


def needs_lengths(definition: Definition) -> bool:
    """Whether only the data can tell if all settings matter."""
    return SCRIPT not in definition.fixed and any(it.name == LENGTH for it in definition.ranges)


def findings(
    definition: Definition, channels: Mapping[str, str], longest: int | None = None
) -> list[str]:
    """A line for each range, or part of one, that cannot matter. ``longest``: of the inputs, in
    tokens, where it is known."""
    if SCRIPT in definition.fixed:
        return []
    return [
        line for it in definition.ranges for line in _findings(it, definition, channels, longest)
    ]


def _findings(
    it: Range, definition: Definition, channels: Mapping[str, str], longest: int | None
) -> Iterator[str]:
    start = f"{it.name} cannot matter"
    if it.name in _SAME_MODEL:
        yield f"{start}: {_SAME_MODEL[it.name]}"
    if it.name in _CHANNELS and _CHANNELS[it.name][0] in channels:
        yield f"{start}: {_CHANNELS[it.name][1]}"
    if isinstance(it, Categorical) and len(it.values) == 1:
        yield f"{start}: it has one value; put it under fixed"
    if it.name == "early-stopping-patience":
        epochs = _whole(definition.fixed.get("epochs"))
        if epochs and all(_whole(end) >= epochs for end in it.ends):
            yield f"{start}: no job has more than {epochs} epochs"
    if it.name == LENGTH and longest is not None:
        above = [end for end in it.ends if _whole(end) >= longest]
        if len(above) > 1:
            yield (
                f"{it.name} {_listed(above, it)} give the same model: the longest input has "
                f"{longest} tokens, and batches are padded to their own longest only"
            )


def _listed(values: list[str], it: Range) -> str:
    return " and ".join(values) if isinstance(it, Categorical) else f"from {values[0]} up"


def _whole(text: str | None) -> int:
    with suppress(ValueError):
        return int(float(text or 0))
    return 0


def longest_input(client: Client, definition: Definition, job: TrainingJob) -> int:
    """Tokens of the longest input: asked of the image, by a job in a trial's place that tokenizes
    the data; trials that share their tokens find them there.

    Raises ``LaunchError`` where the data cannot be read: no trial could either.
    """
    values = {it.name: it.ends[0] for it in definition.ranges}
    length = next(it for it in definition.ranges if it.name == LENGTH)
    values[LENGTH] = max(length.ends, key=_whole)
    request = trial_job(definition, job, values)
    request["TrainingJobName"] = f"{job.name}-data-{uuid.uuid4().hex[:4]}"
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = _ENTRYPOINT
    lines: list[str] = []
    jobs.run(client, request, lines.append)
    return _read(lines)


def _read(lines: list[str]) -> int:
    for line in reversed(lines):
        if line.startswith(_LINE):
            return int(line.removeprefix(_LINE))
    raise LaunchError("the image does not say how long its inputs are: is it an older one?")
