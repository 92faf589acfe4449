"""The API requests of a tuning: CreateHyperParameterTuningJob, and CreateTrainingJob of one trial.

Pure functions. Both come from the same definition and the same training job, so that what a trial
is does not depend on where it runs. Source: the API's service model in botocore.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from byoc.launch import requests
from byoc.launch.errors import LaunchError
from byoc.launch.requests import Request, TrainingJob
from byoc.tuning.definition import LEAST_RUNTIME, MOST_RUNTIME, Definition, check_name
from byoc.tuning.ranges import Categorical, Continuous, Integer, Range

_LIST = {
    Continuous: "ContinuousParameterRanges",
    Integer: "IntegerParameterRanges",
    Categorical: "CategoricalParameterRanges",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of the whole tuning on SageMaker: ``runtime`` in seconds, 0: none. ``spot``: cheaper hosts
    that may be taken away; trials then wait up to ``max_wait`` seconds in all, and go on from
    ``checkpoints``, an URI."""

    runtime: int = 0
    spot: bool = False
    max_wait: int = 0
    checkpoints: str = ""


def trial_job(definition: Definition, job: TrainingJob, values: Mapping[str, str]) -> Request:
    """CreateTrainingJob of the trial that has ``values`` for the ranges."""
    tuned = {it.name for it in definition.ranges}
    usual = {name: value for name, value in job.hyperparameters.items() if name not in tuned}
    hyperparameters = {**usual, **definition.fixed, **values}
    request = requests.training_job(
        dataclasses.replace(
            job, hyperparameters=hyperparameters, max_runtime=definition.max_runtime
        )
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = _metrics(definition)
    return request


def tuning_job(definition: Definition, job: TrainingJob, limits: Limits) -> Request:
    """CreateHyperParameterTuningJob; ``job.name`` is the tuning's name.

    Raises ``LaunchError`` for a name or a limit that the API would refuse.
    """
    check_name(job.name)
    found: Request = {
        "HyperParameterTuningJobName": job.name,
        "HyperParameterTuningJobConfig": _config(definition, limits),
        "TrainingJobDefinition": _training(definition, job, limits),
    }
    if definition.warm_start:
        found["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": name} for name in definition.warm_start
            ],
            "WarmStartType": definition.warm_start_type,
        }
    return found


def _config(definition: Definition, limits: Limits) -> Request:
    found: Request = {
        "Strategy": definition.strategy,
        "HyperParameterTuningJobObjective": {
            "Type": definition.direction,
            "MetricName": definition.objective,
        },
        "ResourceLimits": _resource_limits(definition, limits),
        "ParameterRanges": _ranges(definition.ranges),
        "TrainingJobEarlyStoppingType": definition.early_stopping,
        "RandomSeed": definition.seed,
    }
    if definition.strategy == "Hyperband":
        low, high = definition.resources
        found["StrategyConfig"] = {
            "HyperbandStrategyConfig": {"MinResource": low, "MaxResource": high}
        }
    return found


def _resource_limits(definition: Definition, limits: Limits) -> Request:
    found = {"MaxParallelTrainingJobs": definition.max_parallel}
    if definition.strategy != "Grid":  # there the number follows from the ranges
        found["MaxNumberOfTrainingJobs"] = definition.max_jobs
    if limits.runtime:
        if not LEAST_RUNTIME <= limits.runtime <= MOST_RUNTIME:
            raise LaunchError(
                f"the tuning's time limit is {limits.runtime} s: SageMaker takes {LEAST_RUNTIME} "
                f"to {MOST_RUNTIME}; change --max-time or --max-cost"
            )
        found["MaxRuntimeInSeconds"] = limits.runtime
    return found


def _training(definition: Definition, job: TrainingJob, limits: Limits) -> Request:
    """A trial's request without its name and its values, in the form that tuning jobs have."""
    found = trial_job(definition, job, {})
    del found["TrainingJobName"]
    found["StaticHyperParameters"] = found.pop("HyperParameters")
    if limits.spot:
        if not limits.checkpoints:
            raise LaunchError("spot trials need a place for checkpoints, an s3:// URI")
        found["EnableManagedSpotTraining"] = True
        found["CheckpointConfig"] = {"S3Uri": limits.checkpoints}
        wait = max(limits.max_wait, definition.max_runtime)
        found["StoppingCondition"]["MaxWaitTimeInSeconds"] = wait
    else:
        # In this field's place, and not on spot hosts, a tuning's trials share warm pools.
        found["HyperParameterTuningResourceConfig"] = found.pop("ResourceConfig")
    return found


def _metrics(definition: Definition) -> list[dict[str, str]]:
    return [dict(metric) for metric in definition.definitions]


def _ranges(ranges: tuple[Range, ...]) -> Request:
    found: Request = {name: [] for name in _LIST.values()}
    for it in ranges:
        found[_LIST[type(it)]].append(_range(it))
    return found


def parse_ranges(found: Mapping[str, Any]) -> tuple[Range, ...]:
    """The ranges that a request, or a description, holds; those of numbers first."""
    ranges: list[Range] = []
    for it in found.get(_LIST[Continuous], ()):
        low, high = float(it["MinValue"]), float(it["MaxValue"])
        ranges.append(Continuous(it["Name"], low, high, it.get("ScalingType", "Auto")))
    for it in found.get(_LIST[Integer], ()):
        ends = int(it["MinValue"]), int(it["MaxValue"])
        ranges.append(Integer(it["Name"], *ends, it.get("ScalingType", "Auto")))
    for it in found.get(_LIST[Categorical], ()):
        ranges.append(Categorical(it["Name"], tuple(it["Values"])))
    return tuple(ranges)


def _range(it: Range) -> Request:
    if isinstance(it, Categorical):
        return {"Name": it.name, "Values": list(it.values)}
    low, high = it.ends
    return {"Name": it.name, "MinValue": low, "MaxValue": high, "ScalingType": it.scaling}
