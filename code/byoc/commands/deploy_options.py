"""The options of `byoc deploy`, and what each place makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import click

from byoc.commands.common import (
    SERVING_IMAGE,
    note,
    parse_hyperparameters,
    unique_name,
    where_option,
)
from byoc.launch import requests, scaling
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


def declare(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command all options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def endpoint(artifact: str, options: Options) -> requests.Endpoint:
    """What is to be deployed; raises ``LaunchError`` for what the place cannot do, by its flag."""
    aws = options["where"] == "sagemaker"
    if aws and not options["role"]:
        raise LaunchError("--where sagemaker needs --role, the ARN of the model's execution role")
    if aws and not artifact.startswith("s3://"):
        raise LaunchError(f"{artifact}: on AWS a model is an s3:// URI, as training leaves it")
    if aws:
        _refuse_unfit(options)
    else:
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
        ("--concurrency", options["concurrency"]),
    ):
        if value:
            raise LaunchError(
                f"{flag} is SageMaker's own: --where {options['where']} has none of it"
            )
    for flag, given in (("--role", options["role"]), ("--tag", options["tags"])):
        if given:
            note(f"--where {options['where']}: {flag} has no effect here: there is no account")
    if options["where"] == "process" and options["instance_type"] not in (None, "local"):
        note("--where process: --instance-type has no effect here: the server uses what there is")


def _refuse_unfit(options: Options) -> None:
    """What SageMaker has none of, in all or for that kind of endpoint."""
    if options["port"] is not None:
        raise LaunchError("--port is for endpoints on this machine: on AWS one has a name")
    serverless = options["serverless"] is not None
    if options["concurrency"] is not None and not serverless and not options["asynchronous"]:
        raise LaunchError("--concurrency limits a --serverless or --async endpoint only")
    if not serverless:
        return
    for flag, value in (
        ("--instance-type", options["instance_type"]),
        ("--instance-count", options["instance_count"] != 1),
        ("--startup-timeout", options["startup_timeout"]),
        ("--download-timeout", options["download_timeout"]),
        ("--max-instances", options["max_instances"]),
        ("--rollback", options["rollback"] or options["rollback_latency"]),
    ):
        if value:
            raise LaunchError(
                f"{flag} does not go with --serverless: AWS chooses the instances itself, and "
                "updates all at once"
            )


def scale(options: Options) -> scaling.Scaling | None:
    """None without autoscaling; raises ``LaunchError`` where an option of it is missing."""
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
