"""Plain SageMaker API requests from small dataclasses; pure functions, the same for every place.

Source: the API's service model in botocore (CreateTrainingJob, CreateModel, CreateEndpointConfig,
CreateEndpoint).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.launch.hosting import GPU_FAMILIES as GPU_FAMILIES
from byoc.launch.hosting import Hosting
from byoc.metric_lines import METRIC_DEFINITIONS

Request = dict[str, Any]

LOCAL_ROLE = "arn:aws:iam::000000000000:role/local"
"""RoleArn is a required field; where no AWS account is involved nobody reads it."""

VARIANT = "AllTraffic"

GPU_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
"""Driver 580, which CUDA 13 needs; with an older one the container fails without a log."""


@dataclass(frozen=True)
class TrainingJob:
    """``channels``: name to URI (s3:// or file://); ``output``: URI of a folder;
    ``max_runtime`` in seconds, ``volume`` in GB."""

    name: str
    image: str
    channels: Mapping[str, str]
    output: str
    role: str = LOCAL_ROLE
    instance_type: str = "local"
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    max_runtime: int = 24 * 3600
    volume: int = 30


@dataclass(frozen=True)
class Endpoint:
    """A model and where it is served.

    ``is_multi_model``: ``model_data`` is a prefix with one model.tar.gz for each model.
    ``version``: set apart by it, several models and configurations belong to one endpoint.
    """

    name: str
    image: str
    model_data: str
    role: str = LOCAL_ROLE
    instance_type: str = "local"
    environment: Mapping[str, str] = field(default_factory=dict)
    is_multi_model: bool = False
    hosting: Hosting = field(default_factory=Hosting)
    version: str = ""

    @property
    def part(self) -> str:
        """The name of its model, and of its configuration."""
        return f"{self.name}-{self.version}" if self.version else self.name


def training_job(job: TrainingJob) -> Request:
    """The request of CreateTrainingJob."""
    return {
        "TrainingJobName": job.name,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [dict(definition) for definition in METRIC_DEFINITIONS],
        },
        "RoleArn": job.role,
        "InputDataConfig": [_channel(name, uri) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": job.output},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": job.volume,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime},
        "HyperParameters": dict(job.hyperparameters),
        "Environment": dict(job.environment),
    }


def _channel(name: str, uri: str) -> Request:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def model(endpoint: Endpoint) -> Request:
    """The request of CreateModel; raises ``LaunchError`` for many models on a GPU."""
    if endpoint.is_multi_model and endpoint.instance_type.startswith(GPU_FAMILIES):
        raise LaunchError(
            f"{endpoint.instance_type} has a GPU, and SageMaker has multi-model endpoints on GPUs "
            "with NVIDIA Triton's server only: choose a CPU instance, or an endpoint for each model"
        )
    endpoint.hosting.check(endpoint.instance_type, endpoint.is_multi_model)
    mode = {"Mode": "MultiModel"} if endpoint.is_multi_model else {}
    return {
        "ModelName": endpoint.part,
        "PrimaryContainer": {
            "Image": endpoint.image,
            "ModelDataUrl": endpoint.model_data,
            "Environment": dict(endpoint.environment),
            **mode,
        },
        "ExecutionRoleArn": endpoint.role,
        **endpoint.hosting.network.fields(),
        **endpoint.hosting.tagged(),
    }


def endpoint_config(endpoint: Endpoint) -> Request:
    """The request of CreateEndpointConfig; GPU instances get the AMI with CUDA 13's driver."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": endpoint.part,
        "InitialVariantWeight": 1.0,
        **endpoint.hosting.variant(endpoint.instance_type, GPU_AMI),
    }
    return {
        "EndpointConfigName": endpoint.part,
        "ProductionVariants": [variant],
        **endpoint.hosting.config(),
    }


def endpoint(endpoint: Endpoint) -> Request:
    """The request of CreateEndpoint."""
    return {
        "EndpointName": endpoint.name,
        "EndpointConfigName": endpoint.part,
        **endpoint.hosting.tagged(),
    }
