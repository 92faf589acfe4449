"""`byoc data explore`: what a data set holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from byoc.commands.common import note, say
from byoc.commands.data_prepare import column_options
from byoc.commands.progress import progress
from byoc.launch.errors import LaunchError
from byoc.launch.hub import HubData
from byoc.training.files import whole
from byoc.training.readers import Columns


@click.command()
@click.argument("data")
@column_options
@click.option("--model", help="Whose word pieces: a model's folder or Hub name; scratch: learned.")
@click.option("--skip-empty", is_flag=True, help="Leave out rows without text or label.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="out/explore.html",
    show_default=True,
    help="The page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, and no tables.")
def explore(
    data: str,
    text_column: str,
    label_column: str,
    text_pair_column: str | None,
    config: str | None,
    revision: str | None,
    model: str | None,
    skip_empty: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Says what DATA holds: labels, lengths, duplicates, conflicts, odd characters, drift.

    DATA: a prepared data set, a table, a folder of tables, `cola`, or a name on the Hub.
    """
    from byoc.data.explore import summary
    from byoc.data.explore.page import render
    from byoc.data.explore.survey import Options
    from byoc.data.explore.survey import explore as run

    columns = Columns(text_column, label_column, text_pair_column)
    options = Options(columns, model, skip_empty)
    with progress("rows read") as tick:
        report = run(data, options, HubData(data, config, revision), tick)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with whole(output) as stream:
            stream.write(render(report))
    except OSError as error:
        raise LaunchError(f"cannot write {output}: {error.strerror or error}") from error
    if as_json:
        say(json.dumps(report, indent=2))
    else:
        summary.show(report)
    note(f"the page: {output}")
