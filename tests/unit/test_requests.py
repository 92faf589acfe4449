"""Requests against the API's own service model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from api_model import faults
from byoc.launch import debugger, requests, transform
from byoc.launch.errors import LaunchError

JOB = requests.TrainingJob(
    name="job-1",
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/byoc-training:abc",
    channels={"train": "s3://bucket/train", "model": "s3://bucket/model"},
    output="s3://bucket/out",
    role="arn:aws:iam::123456789012:role/job",
    instance_type="ml.g5.xlarge",
    hyperparameters={"epochs": "4"},
    environment={"A": "b"},
)
ENDPOINT = requests.Endpoint(
    name="endpoint-1", image=JOB.image, model_data="s3://bucket/model.tar.gz"
)

TRANSFORM = transform.TransformJob(
    name="transform-1",
    model="endpoint-1",
    input="s3://bucket/in",
    output="s3://bucket/out",
    content_type="text/csv",
    accept="text/csv",
    strategy="MultiRecord",
    payload=6,
    transforms=4,
    instance_type="ml.c5.2xlarge",
    environment={"A": "b"},
)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateTrainingJob", requests.training_job(JOB)),
        ("CreateTrainingJob", debugger.managed(requests.training_job(JOB), "eu-west-1")),
        (
            "CreateTrainingJob",
            debugger.managed(
                requests.training_job(JOB),
                "cn-north-1",
                [*debugger.TENSOR_RULES, *debugger.PROFILER_RULES],
            ),
        ),
        ("CreateModel", requests.model(ENDPOINT)),
        (
            "CreateEndpointConfig",
            requests.endpoint_config(dataclasses.replace(ENDPOINT, instance_type="ml.g5.xlarge")),
        ),
        ("CreateEndpoint", requests.endpoint(ENDPOINT)),
        ("CreateModel", requests.model(dataclasses.replace(ENDPOINT, is_multi_model=True))),
        ("CreateTransformJob", transform.request(TRANSFORM)),
        ("CreateTransformJob", transform.request(dataclasses.replace(TRANSFORM, joins=True))),
    ],
)
def test_the_api_would_take_it(operation: str, request_: dict[str, Any]) -> None:
    assert faults(operation, request_) == []


def test_managed_rules_are_of_the_regions_image() -> None:
    found = debugger.managed(requests.training_job(JOB), debugger.region_of(JOB.image), ["Overfit"])
    (rule,) = found["DebugRuleConfigurations"]
    image = "929884845733.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-debugger-rules:latest"
    assert rule["RuleEvaluatorImage"] == image
    assert rule["RuleParameters"] == {"rule_to_invoke": "Overfit"}
    assert "ProfilerRuleConfigurations" not in found
    intervals = [
        collection["CollectionParameters"]["train.save_interval"]
        for collection in found["DebugHookConfig"]["CollectionConfigurations"]
    ]
    assert set(intervals) == {"100"}  # else AWS's rules would make it 500
    assert debugger.rule_image("cn-north-1").endswith(".cn/sagemaker-debugger-rules:latest")


def test_what_sagemaker_debugger_has_not_is_refused() -> None:
    with pytest.raises(LaunchError, match="no rule image in mars-north-1"):
        debugger.managed(requests.training_job(JOB), "mars-north-1")
    with pytest.raises(LaunchError, match="no rule SimilarAcrossRuns"):
        debugger.managed(requests.training_job(JOB), "eu-west-1", ["SimilarAcrossRuns"])


def test_training_metrics_are_within_the_apis_limits() -> None:
    definitions = requests.training_job(JOB)["AlgorithmSpecification"]["MetricDefinitions"]
    assert {definition["Name"] for definition in definitions} >= {"val_mcc", "val_loss"}
    assert len(definitions) <= 40
    assert all(len(definition["Regex"]) <= 500 for definition in definitions)


@pytest.mark.parametrize(
    ("instance_type", "has_ami"),
    [("ml.g5.xlarge", True), ("ml.p4d.24xlarge", True), ("ml.c6i.xlarge", False), ("local", False)],
)
def test_gpu_hosting_gets_cuda_13s_driver(instance_type: str, has_ami: bool) -> None:
    endpoint = dataclasses.replace(ENDPOINT, instance_type=instance_type)
    variant = requests.endpoint_config(endpoint)["ProductionVariants"][0]
    assert ("InferenceAmiVersion" in variant) is has_ami


def test_a_request_shares_nothing_with_what_it_was_made_from() -> None:
    given = {"epochs": "4"}
    request = requests.training_job(dataclasses.replace(JOB, hyperparameters=given))
    request["HyperParameters"]["epochs"] = "5"
    assert given == {"epochs": "4"}


def test_many_models_on_a_gpu_are_refused_with_the_reason() -> None:
    many = dataclasses.replace(ENDPOINT, is_multi_model=True)
    assert requests.model(many)["PrimaryContainer"]["Mode"] == "MultiModel"
    with pytest.raises(LaunchError, match="Triton"):
        requests.model(dataclasses.replace(many, instance_type="ml.g5.xlarge"))
