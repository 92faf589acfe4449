"""`byoc predict`: asks an endpoint, or any URL that answers as one."""

from __future__ import annotations

import json
import sys

import click

from byoc.commands.common import show, where_option
from byoc.launch import endpoints, runtime
from byoc.launch.clients import make_runtime
from byoc.launch.errors import LaunchError


@click.command()
@where_option
@click.option("--url", help="For example http://127.0.0.1:8080 (/invocations is added).")
@click.option("--endpoint", help="An endpoint's name.")
@click.option("--target-model", help="Which one of a multi-model endpoint: its archive's name.")
@click.argument("texts", nargs=-1, required=True)
def predict(
    where: str,
    url: str | None,
    endpoint: str | None,
    target_model: str | None,
    texts: tuple[str, ...],
) -> None:
    """Classifies TEXTS and prints a table; a lone - reads one text a line from stdin."""
    if (url is None) == (endpoint is None):
        raise LaunchError("give one of --url and --endpoint")
    wanted = list(texts)
    if wanted == ["-"]:
        wanted = [line.strip() for line in sys.stdin if line.strip()]
        if not wanted:
            raise LaunchError("there is no text on stdin")
    if endpoint is not None:
        show(endpoints.predict(make_runtime(where), endpoint, wanted, target_model))
        return
    target = str(url).rstrip("/")
    if not target.endswith("/invocations"):
        target += "/invocations"
    answer = runtime.post(
        target,
        {
            "Body": json.dumps({"inputs": wanted}),
            "ContentType": "application/json",
            "Accept": "application/json",
        },
    )
    show(endpoints.read_predictions(answer["Body"].read(), wanted))
