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
    "RetryStrategy": "a failed job is not started again",
    "EnableManagedSpotTraining": "nothing interrupts the job",
}


def ignored(request: dict[str, Any], where: str, also: frozenset[str] = frozenset()) -> list[str]:
    """One line for each field that has no effect here; ``also`` are honoured besides the usual."""
    names = [name for name in request if name not in HONOURED | also]
    return [f"{where}: {name} has no effect here: {_WHY.get(name, 'ignored')}" for name in names]


def check(request: dict[str, Any], where: str) -> None:
    """Raises ``LaunchError`` for what would change the result if it were ignored."""
    for fault in _faults(request):
        raise LaunchError(f"--where {where} cannot run this job: {fault}")


def _faults(request: dict[str, Any]) -> Iterator[str]:
    algorithm = request["AlgorithmSpecification"]
    if not algorithm.get("TrainingImage"):
        yield "AlgorithmSpecification has no TrainingImage"
    if algorithm.get("ContainerArguments") and not algorithm.get("ContainerEntrypoint"):
        yield "ContainerArguments without ContainerEntrypoint are dropped"
    if request["ResourceConfig"].get("InstanceCount", 1) != 1:
        yield "InstanceCount must be 1"
    if request["ResourceConfig"].get("InstanceGroups"):
        yield "InstanceGroups are not known"
    modes = [algorithm.get("TrainingInputMode", "File")]
    for channel in request.get("InputDataConfig", []):
        name = channel["ChannelName"]
        modes.append(channel.get("InputMode", "File"))
        if "S3DataSource" not in channel["DataSource"]:
            yield f"channel {name} has no S3DataSource"
        elif channel["DataSource"]["S3DataSource"].get("S3DataType", "S3Prefix") != "S3Prefix":
            yield f"channel {name} needs S3DataType S3Prefix"
        for field in ("CompressionType", "RecordWrapperType"):
            if channel.get(field, "None") != "None":
                yield f"channel {name} has {field} {channel[field]}, which is not undone here"
        if channel.get("ShuffleConfig"):
            yield f"channel {name} has a ShuffleConfig, which is not obeyed here"
    if "Pipe" in modes:
        yield "TrainingInputMode Pipe is not known: use File"
