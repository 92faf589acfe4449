"""Requests of a tuning against the API's own service model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from api_model import faults
from byoc.launch.errors import LaunchError
from byoc.launch.requests import TrainingJob
from byoc.tuning.definition import Definition
from byoc.tuning.definition_file import presets, read
from byoc.tuning.request import Limits, parse_ranges, trial_job, tuning_job

JOB = TrainingJob(
    name="tune-1",
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/byoc-training:abc",
    channels={"train": "s3://bucket/train", "validation": "s3://bucket/validation"},
    output="s3://bucket/out",
    role="arn:aws:iam::123456789012:role/job",
    instance_type="ml.g5.xlarge",
    hyperparameters={"label-names": "no,yes"},
    environment={"A": "b"},
)
SPOT = Limits(spot=True, max_wait=7200, checkpoints="s3://bucket/checkpoints")
GRID = read(flags={"strategy": "Grid", "ranges": {"a": {"values": [1, 2]}, "b": {"values": [3]}}})
HYPERBAND = read(
    flags={"strategy": "Hyperband", "max-epochs": 9, "ranges": {"n": {"min": 1, "max": 4}}}
)
WARM = read("cola", flags={"warm-start": ["tune-0"], "warm-start-type": "TransferLearning"})


@pytest.mark.parametrize("limits", [Limits(), Limits(runtime=3600), SPOT], ids=["", "time", "spot"])
@pytest.mark.parametrize(
    "definition",
    [*(read(name) for name in presets()), GRID, HYPERBAND, WARM],
    ids=[*presets(), "grid", "hyperband", "warm"],
)
def test_the_api_takes_every_kind_of_tuning(definition: Definition, limits: Limits) -> None:
    request = tuning_job(definition, JOB, limits)
    assert faults("CreateHyperParameterTuningJob", request) == []


def test_ranges_are_read_back_from_the_request() -> None:
    ranges = {
        "lr": {"min": 1e-5, "max": 1e-4, "scaling": "Logarithmic"},
        "layers": {"min": 1, "max": 4},
        "batch-size": {"values": [16, 32]},
    }
    definition = read(flags={"ranges": ranges})
    config = tuning_job(definition, JOB, Limits())["HyperParameterTuningJobConfig"]
    assert parse_ranges(config["ParameterRanges"]) == definition.ranges


def test_trials_share_warm_pools() -> None:
    training = tuning_job(read("cola"), JOB, Limits())["TrainingJobDefinition"]
    # Not ResourceConfig.
    assert training["HyperParameterTuningResourceConfig"]["InstanceType"] == "ml.g5.xlarge"


def test_a_trial_here_is_the_same_job_with_its_values() -> None:
    definition = read("cola")
    job = dataclasses.replace(JOB, name="tune-1-0000")
    here = trial_job(definition, job, {"lr": "1e-4", "batch-size": "16", "max-length": "128"})
    there = tuning_job(definition, JOB, Limits())["TrainingJobDefinition"]
    assert faults("CreateTrainingJob", here) == []
    for name in ("AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "Environment"):
        assert here[name] == there[name]
    assert here["HyperParameters"] == {
        **there["StaticHyperParameters"],
        "lr": "1e-4",
        "batch-size": "16",
        "max-length": "128",
    }


def test_spot_trials_wait_and_keep_checkpoints() -> None:
    training: dict[str, Any] = tuning_job(
        dataclasses.replace(read("cola"), max_runtime=3600), JOB, SPOT
    )["TrainingJobDefinition"]
    assert training["EnableManagedSpotTraining"] is True
    assert training["CheckpointConfig"] == {"S3Uri": "s3://bucket/checkpoints"}
    assert training["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 7200,
    }


def test_a_grid_has_no_number_of_jobs() -> None:
    limits = tuning_job(GRID, JOB, Limits())["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits == {"MaxParallelTrainingJobs": 1}


@pytest.mark.parametrize("name", ["", "a" * 33, "-a", "a_b"])
def test_a_name_that_the_api_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(LaunchError, match="is no name for a tuning"):
        tuning_job(read("cola"), dataclasses.replace(JOB, name=name), Limits())


def test_a_time_limit_that_the_api_refuses_is_refused_here() -> None:
    with pytest.raises(LaunchError, match="120 to 15768000"):
        tuning_job(read("cola"), JOB, Limits(runtime=60))
