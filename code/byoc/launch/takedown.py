"""What belongs to an endpoint, and deleting it: each thing by itself, so that a failure of one
leaves nothing else behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from byoc.launch import deployments, scaling
from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError

AwsClient = Callable[[str], Any]
"""A client of an AWS service by its name."""


@dataclass(frozen=True)
class Step:
    """Deletes one thing; ``told`` names it; ``is_used``: by the endpoint while there."""

    told: str
    run: Callable[[], Any]
    is_endpoint: bool = False
    is_used: bool = False


def listed(client: Any) -> list[dict[str, Any]]:
    """The endpoints there are."""
    if getattr(client, "where", ""):
        found: list[dict[str, Any]] = client.list_endpoints()
        return found
    pages = client.get_paginator("list_endpoints").paginate()
    return [it for page in pages for it in page["Endpoints"]]


def plan(client: Client, name: str, aws: AwsClient | None = None) -> list[Step]:
    """All that belongs to the endpoint, in the order in which it can be deleted; ``aws``: where
    it may have alarms and autoscaling too."""
    steps = _aws_steps(name, aws) if aws else []
    if deployments.describe(client, name):
        end = partial(client.delete_endpoint, EndpointName=name)
        steps.append(Step(f"endpoint {name}", end, is_endpoint=True))
    for kind, names, delete in (
        ("endpoint configuration", _parts(client, "endpoint_configs", name), _delete_config),
        ("model", _parts(client, "models", name), _delete_model),
    ):
        steps += [
            Step(f"{kind} {part}", _bound(delete, client, part), is_used=True) for part in names
        ]
    return steps


def run(steps: list[Step], say: Callable[[str], None]) -> None:
    """Goes through all steps; raises ``LaunchError`` in the end where some have failed.

    What an endpoint uses stays as long as that does: an endpoint without its configuration goes on
    and costs, and nobody can see any more on what it runs.
    """
    failed: list[str] = []
    is_up = False
    for step in steps:
        if step.is_used and is_up:
            failed.append(step.told)
            continue
        try:
            step.run()
        except Exception as error:
            is_up = is_up or step.is_endpoint
            failed.append(step.told)
            say(f"{step.told} is not deleted: {' '.join(str(error).split())}")
    if failed:
        raise LaunchError(f"{', '.join(failed)}: not deleted; the same command tries again")


def _aws_steps(name: str, aws: AwsClient) -> list[Step]:
    steps = []
    scaler, cloudwatch = aws("application-autoscaling"), aws("cloudwatch")
    if scaling.is_scaled(scaler, name):
        steps.append(Step(f"autoscaling of {name}", lambda: scaling.unscale(scaler, name)))
    there = cloudwatch.describe_alarms(AlarmNames=scaling.alarm_names(name))["MetricAlarms"]
    steps += [
        Step(f"alarm {it}", _bound(_delete_alarm, cloudwatch, it))
        for it in (alarm["AlarmName"] for alarm in there)
    ]
    return steps


def _parts(client: Any, kind: str, name: str) -> list[str]:
    """Names of the models or configurations that belong to the endpoint."""
    if getattr(client, "where", ""):
        names = client.list_names(kind)
    else:
        operation, key, field = _LISTS[kind]
        pages = client.get_paginator(operation).paginate(NameContains=name)
        names = [it[field] for page in pages for it in page[key]]
    return sorted(it for it in names if deployments.is_ours(it, name))


_LISTS = {
    "endpoint_configs": ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    "models": ("list_models", "Models", "ModelName"),
}


def _bound(delete: Callable[[Any, str], Any], client: Any, name: str) -> Callable[[], Any]:
    return lambda: delete(client, name)


def _delete_config(client: Any, name: str) -> None:
    client.delete_endpoint_config(EndpointConfigName=name)


def _delete_model(client: Any, name: str) -> None:
    client.delete_model(ModelName=name)


def _delete_alarm(client: Any, name: str) -> None:
    client.delete_alarms(AlarmNames=[name])
