"""`byoc deploy`: an endpoint that goes on when the command has ended."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from byoc.commands import deploy_options
from byoc.commands.common import note, say
from byoc.commands.deploy_options import Options
from byoc.launch import deployments, images, requests, scaling
from byoc.launch.aws import client as aws_client
from byoc.launch.clients import make_client


@click.command()
@click.argument("artifact")
@deploy_options.declare
def deploy(artifact: str, **given: Any) -> None:
    """Deploys ARTIFACT, a model.tar.gz (a path or a URI), to an endpoint, or updates it.

    Given again after a failure it goes on; with another model or setting the endpoint of that name
    is updated, and loses no request. `byoc down` takes it down.
    """
    options: Options = given  # type: ignore[assignment]
    endpoint = deploy_options.endpoint(artifact, options)
    scale = deploy_options.scale(options)
    alarms = _alarms(options, endpoint.name)
    if options["print_request"]:
        say(json.dumps(_shown(deployments.versioned(endpoint), scale, alarms), indent=2))
        return
    client = make_client(options["where"], note)
    update: requests.Request = {}
    if options["where"] == "sagemaker":
        endpoint = dataclasses.replace(endpoint, image=images.pinned(endpoint.image, hosting=True))
        update = _prepared_update(endpoint.name, alarms)
    found = deployments.deploy(client, endpoint, note, update, options["port"])
    if scale is not None:
        scaling.scale(aws_client("application-autoscaling"), endpoint.name, scale)
        note(f"autoscaling: {scale.least} to {scale.most} instances")
    if "Port" in found:
        say(f"endpoint {endpoint.name}: http://127.0.0.1:{found['Port']}/invocations")
    else:
        say(f"endpoint {endpoint.name} is in service")
    where = "" if options["where"] == "process" else f" --where {options['where']}"
    note(f"byoc predict{where} --endpoint {endpoint.name} TEXT; byoc down{where} {endpoint.name}")


def _alarms(options: Options, name: str) -> list[requests.Request]:
    """PutMetricAlarm's requests: the alarms that turn an update back."""
    if not options["rollback"] and options["rollback_latency"] is None:
        return []
    return scaling.alarms(name, options["rollback_latency"])


def _prepared_update(name: str, alarms: list[requests.Request]) -> requests.Request:
    """Makes the alarms, which may be there already; further fields of UpdateEndpoint."""
    update: requests.Request = {}
    if alarms:
        cloudwatch = aws_client("cloudwatch")
        for alarm in alarms:
            cloudwatch.put_metric_alarm(**alarm)
        update["DeploymentConfig"] = scaling.blue_green([it["AlarmName"] for it in alarms])
    if scaling.is_scaled(aws_client("application-autoscaling"), name):
        # Else the new fleet has the configuration's first count, whatever the load is now.
        update["RetainAllVariantProperties"] = True
    return update


def _shown(
    wanted: requests.Endpoint, scale: scaling.Scaling | None, alarms: list[requests.Request]
) -> requests.Request:
    """All requests by their operation, as they are sent for an endpoint that is not there yet."""
    shown: requests.Request = {
        "CreateModel": requests.model(wanted),
        "CreateEndpointConfig": requests.endpoint_config(wanted),
        "CreateEndpoint": requests.endpoint(wanted),
    }
    if scale is not None:
        shown |= scaling.requests(wanted.name, scale)
    if alarms:
        shown["PutMetricAlarm"] = alarms
        shown["UpdateEndpoint"] = {
            "EndpointName": wanted.name,
            "EndpointConfigName": wanted.part,
            "DeploymentConfig": scaling.blue_green([it["AlarmName"] for it in alarms]),
        }
    return shown
