"""Autoscaling of an endpoint, and the alarms that turn an update back: AWS only.

Source: the API's service models in botocore (application-autoscaling, cloudwatch, SageMaker's
UpdateEndpoint).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from byoc.launch.requests import VARIANT

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
WATCHED_SECONDS = 600
"""For how long alarms are watched after an update's last step."""


@dataclass(frozen=True)
class Scaling:
    """Between ``least`` and ``most`` instances, for ``invocations`` a minute of each."""

    least: int
    most: int
    invocations: float


def resource(endpoint: str) -> str:
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def policy(endpoint: str) -> str:
    return f"byoc-{endpoint}"


def scale(client: Any, endpoint: str, scaling: Scaling) -> None:
    """Registers the endpoint's variant and its target tracking; both may be there already."""
    made = requests(endpoint, scaling)
    client.register_scalable_target(**made["RegisterScalableTarget"])
    client.put_scaling_policy(**made["PutScalingPolicy"])


def requests(endpoint: str, scaling: Scaling) -> dict[str, dict[str, Any]]:
    """The requests of ``scale`` by their operation."""
    target = {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource(endpoint),
        "ScalableDimension": DIMENSION,
    }
    tracked = {
        "TargetValue": scaling.invocations,
        "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
    }
    return {
        "RegisterScalableTarget": {
            **target,
            "MinCapacity": scaling.least,
            "MaxCapacity": scaling.most,
        },
        "PutScalingPolicy": {
            **target,
            "PolicyName": policy(endpoint),
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": tracked,
        },
    }


def is_scaled(client: Any, endpoint: str) -> bool:
    """Does autoscaling choose how many instances the endpoint has?"""
    return bool(_targets(client, endpoint))


def _targets(client: Any, endpoint: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.describe_scalable_targets(
        ServiceNamespace=NAMESPACE, ResourceIds=[resource(endpoint)]
    )["ScalableTargets"]
    return found


def unscale(client: Any, endpoint: str) -> bool:
    """Ends autoscaling; was there any? An endpoint that it scales cannot be deleted cleanly."""
    found = _targets(client, endpoint)
    for target in found:
        client.deregister_scalable_target(
            ServiceNamespace=NAMESPACE,
            ResourceId=target["ResourceId"],
            ScalableDimension=target["ScalableDimension"],
        )
    return bool(found)


def alarms(endpoint: str, latency: float | None) -> list[dict[str, Any]]:
    """PutMetricAlarm's requests: any server error, and a P90 of the model over ``latency`` ms."""
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": VARIANT},
    ]
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Period": 60,
        "EvaluationPeriods": 1,
        "TreatMissingData": "notBreaching",
    }
    found = [
        {
            **common,
            "AlarmName": f"{endpoint}-5xx",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Sum",
            "Threshold": 0.0,
            "ComparisonOperator": "GreaterThanThreshold",
        }
    ]
    if latency is not None:
        found.append(
            {
                **common,
                "AlarmName": f"{endpoint}-latency",
                "MetricName": "ModelLatency",
                "ExtendedStatistic": "p90",
                "Threshold": latency * 1000,  # the metric is in microseconds
                "ComparisonOperator": "GreaterThanThreshold",
            }
        )
    return found


def alarm_names(endpoint: str) -> list[str]:
    """Of all alarms that ``alarms`` may have made."""
    return [f"{endpoint}-5xx", f"{endpoint}-latency"]


def blue_green(alarm_names: list[str]) -> dict[str, Any]:
    """UpdateEndpoint's DeploymentConfig: all traffic to a new fleet, and back where one alarms."""
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "ALL_AT_ONCE",
                "WaitIntervalInSeconds": WATCHED_SECONDS,
            },
            "TerminationWaitInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": it} for it in alarm_names]},
    }
