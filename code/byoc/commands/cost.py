"""`byoc cost`: what is running on AWS."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from byoc.commands.common import note, say
from byoc.launch import costs
from byoc.launch.aws import client
from byoc.launch.errors import LaunchError
from byoc.tuning.budget import read_price


@click.command()
@click.option(
    "--prices",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help='Prices of an hour, TOML: "ml.g5.xlarge" = 1.41; then the money is shown.',
)
def cost(prices: Path | None) -> None:
    """Shows what is running on AWS and costs money: endpoints, training and transform jobs.

    Of this region and account. A tuning's jobs are among the training jobs.
    """
    found = list(costs.running(client("sagemaker")))
    table = Table("what", "name", "status", "instances", "hours", "an hour", "so far")
    total = 0.0
    for it in found:
        price = None if it.count == 0 else _price(prices, it.instance)
        instances = f"{it.count} x {it.instance}" if it.count else it.instance
        money = ("", "")
        if price is not None:
            total += price * it.count
            money = (f"{price * it.count:.2f}", f"{price * it.hours:.2f}")
        table.add_row(it.kind, it.name, it.status, instances, f"{it.hours:.1f}", *money)
    if not found:
        say("nothing is running")
        return
    Console(markup=False, highlight=False).print(table)
    if prices is not None:
        say(f"{total:.2f} an hour; byoc down NAME --where sagemaker takes an endpoint down")


def _price(prices: Path | None, instance: str) -> float | None:
    """None where the table does not name it: that is said, and the rest is still shown."""
    if prices is None:
        return None
    try:
        return read_price(prices, instance)
    except LaunchError as fault:
        if not prices.is_file():
            raise
        note(str(fault))
        return None
