"""`byoc endpoints` and `byoc down`: what is deployed, and taking it down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from byoc.commands.common import note, say, where_option
from byoc.launch import deployments, takedown
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError


@click.group()
def endpoints() -> None:
    """Lists, shows and deletes endpoints."""


@endpoints.command("list")
@where_option
def list_(where: str) -> None:
    """All endpoints of that place."""
    table = Table("endpoint", "status", "configuration", "where to ask")
    for found in takedown.listed(make_client(where, note)):
        port = found.get("Port")
        url = f"http://127.0.0.1:{port}/invocations" if port else ""
        config = found.get("EndpointConfigName", "")
        table.add_row(found["EndpointName"], found["EndpointStatus"], config, url)
    Console(markup=False, highlight=False).print(table)


@endpoints.command()
@where_option
@click.argument("name")
def show(where: str, name: str) -> None:
    """The description of endpoint NAME, as JSON."""
    say(json.dumps(_found(make_client(where, note), name), indent=2, default=str))


@endpoints.command()
@where_option
@click.argument("name")
def delete(where: str, name: str) -> None:
    """Deletes endpoint NAME alone: `byoc down` deletes its models and configurations as well."""
    client = make_client(where, note)
    _found(client, name)
    client.delete_endpoint(EndpointName=name)
    say(f"endpoint {name} is deleted")


@click.command()
@where_option
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(where: str, name: str, yes: bool) -> None:
    """Takes endpoint NAME down: the endpoint, its configurations, models, alarms and scaling.

    Lists them first. Given again after a failure it goes on with what is left.
    """
    client = make_client(where, note)
    aws = _aws_client() if where == "sagemaker" else None
    steps = takedown.plan(client, name, aws)
    if not steps:
        raise LaunchError(f"there is nothing named {name} (--where {where})")
    for step in steps:
        say(step.told)
    if not yes:
        click.confirm(f"delete these {len(steps)}?", abort=True)
    takedown.run(steps, note)
    say(f"{name} is down")


def _found(client: Any, name: str) -> dict[str, Any]:
    found = deployments.describe(client, name)
    if found is None:
        raise LaunchError(f"there is no endpoint {name}")
    return found


def _aws_client() -> Callable[[str], Any]:
    from byoc.launch.aws import client

    return client
