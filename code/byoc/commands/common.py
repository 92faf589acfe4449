"""What the subcommands share: names, hyperparameters, output."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from byoc.launch.clients import PLACES
from byoc.launch.endpoints import Prediction
from byoc.launch.errors import LaunchError

TRAINING_IMAGE = "byoc-training:cpu"
SERVING_IMAGE = "byoc-serving:cpu"

where_option = click.option(
    "--where",
    type=click.Choice(PLACES),
    default="process",
    show_default=True,
    help="process: child processes here; local: containers here; sagemaker: AWS.",
)


def say(line: str) -> None:
    """One line for the user. Not through rich: a log's brackets are no markup."""
    click.echo(line)


def note(line: str) -> None:
    """A line about the run rather than of it: stderr, so that results can be piped."""
    click.echo(f"byoc: {line}", err=True)


def unique_name(prefix: str) -> str:
    """A name for a job or an endpoint; sorts by time."""
    return f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"


def parse_hyperparameters(
    pairs: Sequence[str], file: Path | None, what: str = "hyperparameter"
) -> dict[str, str]:
    """``name=value`` pairs over those of a JSON file; raises ``LaunchError``."""
    values: dict[str, str] = {}
    if file is not None:
        try:
            given = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LaunchError(f"cannot read hyperparameters from {file}: {error}") from error
        if not isinstance(given, dict):
            raise LaunchError(f"{file} must hold one JSON object of hyperparameters")
        values.update(
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, value in given.items()
        )
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise LaunchError(f"{what} {pair!r} is not of the form name=value")
        values[name.strip()] = value
    return values


def show(predictions: Sequence[Prediction]) -> None:
    """The predictions as a table; plain where the output is no terminal."""
    table = Table("text", "label", "score")
    table.columns[2].justify = "right"
    for prediction in predictions:
        table.add_row(prediction.text, prediction.label, f"{prediction.score:.3f}")
    Console(markup=False, highlight=False).print(table)


def show_metrics(metrics: Mapping[str, object]) -> str:
    """val_mcc=0.91 val_loss=0.2 …: the numbers among metrics.json's values."""
    return " ".join(
        f"{name}={value:.4g}"
        for name, value in metrics.items()
        if isinstance(value, int | float) and name.startswith(("val_", "test_"))
    )
