"""How an endpoint is hosted: the parts of the requests that only AWS keeps.

Source: the API's service model in botocore (CreateModel, CreateEndpointConfig, UpdateEndpoint).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from byoc.launch.errors import LaunchError

MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)
"""MB that a serverless endpoint may have."""
GPU_FAMILIES = ("ml.g", "ml.p")


@dataclass(frozen=True)
class Network:
    """``subnets`` and ``security_groups`` go together; ``is_isolated``: no way out at all."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    is_isolated: bool = False

    def fields(self) -> dict[str, Any]:
        """Raises ``LaunchError`` where one of the two is missing."""
        if bool(self.subnets) != bool(self.security_groups):
            raise LaunchError("a VPC needs both: --subnets and --security-groups")
        found: dict[str, Any] = {}
        if self.subnets:
            found["VpcConfig"] = {
                "Subnets": list(self.subnets),
                "SecurityGroupIds": list(self.security_groups),
            }
        if self.is_isolated:
            found["EnableNetworkIsolation"] = True
        return found


@dataclass(frozen=True)
class Hosting:
    """``serverless``: MB of memory; ``asynchronous``: s3:// URI of the answers; ``capture``: s3://
    URI of requests and answers, of ``capture_percent`` of them. Timeouts in seconds."""

    instances: int = 1
    serverless: int | None = None
    concurrency: int | None = None
    """Invocations at a time: of a serverless endpoint, or of each asynchronous instance."""
    asynchronous: str = ""
    startup_timeout: int | None = None
    download_timeout: int | None = None
    capture: str = ""
    capture_percent: int = 100
    kms_key: str = ""
    network: Network = Network()
    tags: Mapping[str, str] = field(default_factory=dict)

    def check(self, instance_type: str, is_multi_model: bool) -> None:
        """Raises ``LaunchError`` for what AWS would refuse, with its reason."""
        if self.serverless is None:
            return
        if self.serverless not in MEMORY:
            raise LaunchError(f"--serverless {self.serverless}: MB of memory, one of {MEMORY}")
        for told, is_so in (
            ("--async", self.asynchronous),
            ("--multi-model", is_multi_model),
            ("a VPC or network isolation", self.network != Network()),
            ("--capture", self.capture),
            (f"the GPU of {instance_type}", instance_type.startswith(GPU_FAMILIES)),
        ):
            if is_so:
                raise LaunchError(f"a serverless endpoint has no {told}: SageMaker refuses both")

    def variant(self, instance_type: str, ami: str) -> dict[str, Any]:
        """Where the production variant runs; ``ami`` for instances with a GPU."""
        if self.serverless is not None:
            limit = {"MemorySizeInMB": self.serverless, "MaxConcurrency": self.concurrency or 5}
            return {"ServerlessConfig": limit}
        chosen = {
            "InferenceAmiVersion": ami if instance_type.startswith(GPU_FAMILIES) else None,
            "ContainerStartupHealthCheckTimeoutInSeconds": self.startup_timeout,
            "ModelDataDownloadTimeoutInSeconds": self.download_timeout,
        }
        return {
            "InstanceType": instance_type,
            "InitialInstanceCount": self.instances,
            **{name: value for name, value in chosen.items() if value is not None},
        }

    def config(self) -> dict[str, Any]:
        """Further fields of CreateEndpointConfig."""
        found: dict[str, Any] = {}
        if self.asynchronous:
            found["AsyncInferenceConfig"] = {
                "OutputConfig": {"S3OutputPath": self.asynchronous}
                | ({"KmsKeyId": self.kms_key} if self.kms_key else {})
            }
            if self.concurrency:
                limit = {"MaxConcurrentInvocationsPerInstance": self.concurrency}
                found["AsyncInferenceConfig"]["ClientConfig"] = limit
        if self.capture:
            found["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": self.capture_percent,
                "DestinationS3Uri": self.capture,
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {
                    "CsvContentTypes": ["text/csv"],
                    "JsonContentTypes": ["application/json", "application/jsonlines"],
                },
            }
        if self.kms_key and self.serverless is None:
            found["KmsKeyId"] = self.kms_key
        return found | self.tagged()

    def tagged(self) -> dict[str, Any]:
        if not self.tags:
            return {}
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}
