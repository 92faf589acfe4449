"""Which fields of the hosting requests a place on this machine honours, ignores or must refuse."""

from __future__ import annotations

from typing import Any

from byoc.launch.errors import LaunchError

MODEL = {
    "ExecutionRoleArn": "",
    "EnableNetworkIsolation": "the server can reach the network",
    "VpcConfig": "the server runs in this machine's network",
    "Tags": "",
}
CONFIG = {
    "KmsKeyId": "nothing is encrypted",
    "DataCaptureConfig": "no request is kept",
    "VpcConfig": "the server runs in this machine's network",
    "EnableNetworkIsolation": "the server can reach the network",
    "ExecutionRoleArn": "",
    "Tags": "",
}
VARIANT = {
    "InferenceAmiVersion": "",
    "VolumeSizeInGB": "",
    "ModelDataDownloadTimeoutInSeconds": "nothing is downloaded",
    "ContainerStartupHealthCheckTimeoutInSeconds": "the server's own limit holds (docs/serving.md)",
    "ManagedInstanceScaling": "one server runs",
}
ENDPOINT = {"DeploymentConfig": "the next server takes over as soon as it answers", "Tags": ""}
"""Fields that have no effect here, and what that means; "": nothing that a caller would miss."""


def ignored(request: dict[str, Any], fields: dict[str, str]) -> list[str]:
    """One line for each field of the request whose absence matters."""
    return [
        f"{name} has no effect here: {why}"
        for name, why in fields.items()
        if why and name in request
    ]


def check(config: dict[str, Any], where: str) -> None:
    """Raises ``LaunchError`` for a CreateEndpointConfig that this machine cannot keep."""
    variants = config["ProductionVariants"]
    if len(variants) != 1 or variants[0].get("InitialInstanceCount", 1) != 1:
        raise LaunchError(f"--where {where} serves one production variant on one instance only")
    for name, told in (
        ("ServerlessConfig", "serverless endpoints"),
        ("AsyncInferenceConfig", "asynchronous endpoints"),
    ):
        if name in config or name in variants[0]:
            raise LaunchError(f"--where {where} has no {told} ({name}): they are AWS's own")
