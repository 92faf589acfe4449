"""`byoc deploy`: an endpoint that goes on when the command has ended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import click

from byoc.commands.common import (
    SERVING_IMAGE,
    note,
    parse_hyperparameters,
    say,
    unique_name,
    where_option,
)
from byoc.launch import deployments, images, requests, scaling
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.hosting import Hosting, Network
from byoc.launch.uris import to_uri

GPU_INSTANCE, CPU_INSTANCE = "ml.g5.xlarge", "ml.c5.2xlarge"


class Options(TypedDict):
    """What the command line says."""

    where: str
    name: str | None
    image: str
    role: str | None
    instance_type: str | None
    instance_count: int
    variables: tuple[str, ...]
    multi_model: bool
    port: int | None
    serverless: int | None
    asynchronous: str | None
    concurrency: int | None
    startup_timeout: int | None
    download_timeout: int | None
    capture: str | None
    capture_percent: int
    min_instances: int | None
    max_instances: int | None
    invocations_per_instance: float | None
    rollback: bool
    rollback_latency: float | None
    network_isolation: bool
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    kms_key: str | None
    tags: tuple[str, ...]
    print_request: bool


_OPTIONS = (
    where_option,
    click.option("--name", help="The endpoint's name. Default: byoc-TIME."),
    click.option("--image", default=SERVING_IMAGE, show_default=True, help="The serving image."),
    click.option("--role", help="ExecutionRoleArn; needed on AWS."),
    click.option("--instance-type", help=f"Default: local; on AWS {GPU_INSTANCE}."),
    click.option("--instance-count", type=click.IntRange(1), default=1, show_default=True),
    click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable."),
    click.option("--multi-model", is_flag=True, help="ARTIFACT is an s3:// prefix of many models."),
    click.option("--port", type=click.IntRange(1, 65535), help="Here only. Default: a free one."),
    click.option("--serverless", type=int, metavar="MB", help="A serverless endpoint's memory."),
    click.option("--async", "asynchronous", metavar="URI", help="s3:// where answers are put."),
    click.option("--concurrency", type=click.IntRange(1), help="With --serverless or --async."),
    click.option("--startup-timeout", type=click.IntRange(60, 3600), help="Seconds until healthy."),
    click.option("--download-timeout", type=click.IntRange(60, 3600), help="Seconds, the model."),
    click.option("--capture", metavar="URI", help="s3:// where requests and answers are kept."),
    click.option("--capture-percent", type=click.IntRange(0, 100), default=100, show_default=True),
    click.option("--min-instances", type=click.IntRange(1), help="Autoscaling. Default: 1."),
    click.option("--max-instances", type=click.IntRange(1), help="Autoscaling's limit."),
    click.option("--invocations-per-instance", type=float, help="A minute; autoscaling's target."),
    click.option("--rollback", is_flag=True, help="Alarms on 5xx turn an update back."),
    click.option("--rollback-latency", type=float, metavar="MS", help="And on a slower P90."),
    click.option("--network-isolation", is_flag=True, help="The container has no network."),
    click.option("--subnets", multiple=True, help="Of a VPC; once for each."),
    click.option("--security-groups", multiple=True, help="Of a VPC; once for each."),
    click.option("--kms-key", help="For the instances' disks, and --async's answers."),
    click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag."),
    click.option("--print-request", is_flag=True, help="Print the requests, send nothing."),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("artifact")
@_options
def deploy(artifact: str, **given: Any) -> None:
    """Deploys ARTIFACT, a model.tar.gz (a path or a URI), to an endpoint, or updates it.

    Given again after a failure it goes on; with another model or setting the endpoint of that name
    is updated, and loses no request. `byoc down` takes it down.
    """
    options: Options = given  # type: ignore[assignment]
    endpoint = _endpoint(artifact, options)
    scale = _scaling(options)
    if options["print_request"]:
        wanted = deployments.versioned(endpoint)
        shown = {
            "CreateModel": requests.model(wanted),
            "CreateEndpointConfig": requests.endpoint_config(wanted),
            "CreateEndpoint": requests.endpoint(wanted),
        }
        say(json.dumps(shown, indent=2))
        return
    client = make_client(options["where"], note)
    if options["where"] == "sagemaker":
        pinned = images.pinned(endpoint.image, hosting=True)
        endpoint = dataclasses.replace(endpoint, image=pinned)
    deployment = _rollback(options, endpoint.name)
    found = deployments.deploy(client, endpoint, note, deployment, options["port"])
    if scale is not None:
        from byoc.launch.aws import client as aws_client

        scaling.scale(aws_client("application-autoscaling"), endpoint.name, scale)
        note(f"autoscaling: {scale.least} to {scale.most} instances")
    if "Port" in found:
        say(f"endpoint {endpoint.name}: http://127.0.0.1:{found['Port']}/invocations")
    else:
        say(f"endpoint {endpoint.name} is in service")
    where = "" if options["where"] == "process" else f" --where {options['where']}"
    note(f"byoc predict{where} --endpoint {endpoint.name} TEXT; byoc down{where} {endpoint.name}")


def _endpoint(artifact: str, options: Options) -> requests.Endpoint:
    aws = options["where"] == "sagemaker"
    if aws and not options["role"]:
        raise LaunchError("--where sagemaker needs --role, the ARN of the model's execution role")
    if aws and not artifact.startswith("s3://"):
        raise LaunchError(f"{artifact}: on AWS a model is an s3:// URI, as training leaves it")
    if not aws:
        _refuse_aws_only(options)
    usual = CPU_INSTANCE if options["multi_model"] or options["serverless"] else GPU_INSTANCE
    tags = parse_hyperparameters(options["tags"], None)
    return requests.Endpoint(
        name=options["name"] or unique_name("byoc"),
        image=options["image"],
        model_data=artifact if "://" in artifact else to_uri(Path(artifact)),
        role=options["role"] or requests.LOCAL_ROLE,
        instance_type=options["instance_type"] or (usual if aws else "local"),
        environment=parse_hyperparameters(options["variables"], None),
        is_multi_model=options["multi_model"],
        hosting=Hosting(
            instances=options["instance_count"],
            serverless=options["serverless"],
            concurrency=options["concurrency"],
            asynchronous=options["asynchronous"] or "",
            startup_timeout=options["startup_timeout"],
            download_timeout=options["download_timeout"],
            capture=options["capture"] or "",
            capture_percent=options["capture_percent"],
            kms_key=options["kms_key"] or "",
            network=Network(
                options["subnets"], options["security_groups"], options["network_isolation"]
            ),
            tags=tags,
        ),
    )


def _refuse_aws_only(options: Options) -> None:
    """What would change what a caller gets, and is AWS's own."""
    for flag, value in (
        ("--serverless", options["serverless"]),
        ("--async", options["asynchronous"]),
        ("--max-instances", options["max_instances"]),
        ("--rollback", options["rollback"] or options["rollback_latency"]),
        ("--instance-count", options["instance_count"] != 1),
    ):
        if value:
            raise LaunchError(
                f"{flag} is SageMaker's own: --where {options['where']} has none of it"
            )


def _scaling(options: Options) -> scaling.Scaling | None:
    if options["max_instances"] is None:
        if options["min_instances"] is not None or options["invocations_per_instance"] is not None:
            raise LaunchError("autoscaling needs --max-instances and --invocations-per-instance")
        return None
    if options["invocations_per_instance"] is None:
        raise LaunchError("autoscaling needs --invocations-per-instance: a minute, of each")
    least = options["min_instances"] or 1
    if least > options["max_instances"]:
        raise LaunchError(f"--min-instances {least} is above --max-instances")
    return scaling.Scaling(least, options["max_instances"], options["invocations_per_instance"])


def _rollback(options: Options, name: str) -> requests.Request | None:
    """Makes the alarms, which may be there already; UpdateEndpoint's DeploymentConfig."""
    if not options["rollback"] and options["rollback_latency"] is None:
        return None
    from byoc.launch.aws import client as aws_client

    cloudwatch = aws_client("cloudwatch")
    made = scaling.alarms(name, options["rollback_latency"])
    for alarm in made:
        cloudwatch.put_metric_alarm(**alarm)
    return scaling.blue_green([it["AlarmName"] for it in made])
