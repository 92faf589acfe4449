"""Which fields of CreateTrainingJob a place on this machine honours, ignores or must refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from byoc.launch.errors import LaunchError

HONOURED = frozenset(
    {
        "TrainingJobName",
        "AlgorithmSpecification",
        "RoleArn",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "HyperParameters",
        "Environment",
        "Tags",
    }
)

_WHY = {
    "CheckpointConfig": "checkpoints/ is neither restored nor kept",
    "EnableNetworkIsolation": "the job can reach the network",
    "VpcConfig": "the job runs in this machine's network",
    "DebugHookConfig": "no debugger configuration reaches the job",
    "DebugRuleConfigurations": "no rule watches the job",
    "ProfilerConfig": "no profiler configuration reaches the job",
    "ProfilerRuleConfigurations": "no rule watches the job",
    "RetryStrategy": "a failed job is not started again",
    "EnableManagedSpotTraining": "nothing interrupts the job",
}

_WHY_INSIDE = {
    ("ResourceConfig", "KeepAlivePeriodInSeconds"): "there is no instance to keep warm",
    ("ResourceConfig", "VolumeKmsKeyId"): "the disk is this machine's own",
    ("OutputDataConfig", "KmsKeyId"): "the output is not encrypted",
    ("StoppingCondition", "MaxWaitTimeInSeconds"): "the job starts at once",
}
"""Of fields that are honoured, the parts that are not."""


def ignored(request: dict[str, Any], where: str, also: frozenset[str] = frozenset()) -> list[str]:
    """One line for each field that has no effect here; ``also`` are honoured besides the usual."""
    names = [name for name in request if name not in HONOURED | also]
    inside = [
        f"{where}: {field}.{part} has no effect here: {why}"
        for (field, part), why in _WHY_INSIDE.items()
        if part in request.get(field, {})
    ]
    return inside + [
        f"{where}: {name} has no effect here: {_WHY.get(name, 'ignored')}" for name in names
    ]


def check(request: dict[str, Any], where: str) -> None:
    """Raises ``LaunchError`` for what would change the result if it were ignored."""
    for fault in _faults(request):
        raise LaunchError(f"--where {where} cannot run this job: {fault}")


def _faults(request: dict[str, Any]) -> Iterator[str]:
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    for name in ("DebugRuleConfigurations", "ProfilerRuleConfigurations"):
        if request.get(name):
            yield f"{name}: AWS's rules run on AWS only; hyperparameter debug=true runs ours here"
    if not algorithm.get("TrainingImage"):
        yield "AlgorithmSpecification has no TrainingImage"
    if algorithm.get("ContainerArguments") and not algorithm.get("ContainerEntrypoint"):
        yield "ContainerArguments without ContainerEntrypoint are dropped"
    if resources.get("InstanceCount", 1) != 1 or resources.get("InstanceGroups"):
        yield "it runs on one host only (InstanceCount 1, no InstanceGroups)"
    if algorithm.get("TrainingInputMode") == "Pipe":
        yield "TrainingInputMode Pipe is not known: use File"
    for channel in request.get("InputDataConfig", []):
        for fault in _channel_faults(channel):
            yield f"channel {channel['ChannelName']}: {fault}"


def _channel_faults(channel: dict[str, Any]) -> Iterator[str]:
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        yield "it has no S3DataSource"
    elif source.get("S3DataType", "S3Prefix") != "S3Prefix":
        yield "S3DataType must be S3Prefix"
    if channel.get("InputMode") == "Pipe":
        yield "InputMode Pipe is not known: use File"
    for field in ("CompressionType", "RecordWrapperType"):
        if channel.get(field, "None") != "None":
            yield f"{field} {channel[field]} is not undone here"
    if channel.get("ShuffleConfig"):
        yield "ShuffleConfig is not obeyed here"
