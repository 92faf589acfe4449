"""`byoc data prepare`: any table to train, validation and test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from byoc.commands.common import note, say
from byoc.commands.progress import progress
from byoc.launch.hub import HubData
from byoc.training.readers import Columns


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which columns a table's texts and labels are in, and, for a data set of
    the Hub, which one it is."""
    for option in reversed(
        (
            click.option("--text-column", default="sentence", show_default=True),
            click.option("--label-column", default="label", show_default=True),
            click.option("--text-pair-column", help="The second text, where rows are pairs."),
            click.option("--config", help="Which data set of a repository on the Hub."),
            click.option("--revision", help="A commit of the Hub's repository; cola has its own."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("data")
@click.argument("target", type=click.Path(path_type=Path))
@column_options
@click.option("--group-column", help="Rows with the same value there stay in one split.")
@click.option("--validation", type=click.FloatRange(0, 1, max_open=True), default=0.1)
@click.option("--test", type=click.FloatRange(0, 1, max_open=True), default=0.1)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--resplit", is_flag=True, help="Put given splits together and make them anew.")
@click.option(
    "--duplicates",
    type=click.Choice(("keep", "remove")),
    default="keep",
    show_default=True,
    help="keep: together in one split; remove: all but one row of each text.",
)
@click.option("--skip-empty", is_flag=True, help="Leave out rows without text or label.")
def prepare(
    data: str,
    target: Path,
    text_column: str,
    label_column: str,
    text_pair_column: str | None,
    config: str | None,
    revision: str | None,
    group_column: str | None,
    **settings: Any,
) -> None:
    """Writes DATA to TARGET/train, TARGET/validation and TARGET/test as Parquet.

    DATA: a table (.tsv, .csv, .jsonl, .parquet), a folder of tables, `cola`, or the name of a data
    set on the Hub. Splits that DATA has are kept; those it lacks are cut from train: --validation
    and --test are their shares (0.1 each; 0: none).
    """
    from byoc.data.prepare import Options
    from byoc.data.prepare import prepare as run

    columns = Columns(text_column, label_column, text_pair_column, group_column)
    with progress("rows read and written") as tick:
        made = run(
            data, target, Options(columns, **settings), HubData(data, config, revision), tick
        )
    _show(made)
    for line in made["notes"]:
        note(line)
    say(f"wrote {target}: fingerprint {made['fingerprint'][:16]}")
    say(f"train with: {_command(target, made)}")


def _show(made: dict[str, Any]) -> None:
    from byoc.data.texts import visible

    labels = list(made["splits"]["train"]["labels"])
    table = Table("split", "rows", *(f"label {visible(label)}" for label in labels[:8]))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, split in made["splits"].items():
        counts = [(split["labels"].get(label, 0), split["rows"]) for label in labels[:8]]
        shares = (f"{count:,} ({count / rows:.1%})" for count, rows in counts)
        table.add_row(name, f"{split['rows']:,}", *shares)
    Console(markup=False, highlight=False).print(table)
    found = made["duplicates"]
    say(
        f"duplicates: {found['exact']:,} rows repeat a text exactly, {found['normalised']:,} but "
        f"for case and spaces; {found['conflicting']['texts']:,} texts have more than one label"
    )
    for pair, counts in found["across"].items():
        if counts["normalised"]:
            first, _, second = pair.partition(" and ")
            done = "removed" if made["removed"] else "kept: --duplicates remove takes them out"
            rows = f"{counts['normalised']:,} ({done})"
            say(f"leakage: rows of {first} that stand in {second} too: {rows}")
    if made["removed"]:
        say(f"removed: {made['removed']:,} duplicate rows")
    if made["skipped"]:
        say(f"left out: {made['skipped']:,} rows without text or label")


def _command(target: Path, made: dict[str, Any]) -> str:
    parts = [f"--{name} {target / name}" for name in made["splits"]]
    parts += [f"-H {name}={value}" for name, value in made["hyperparameters"].items()]
    return " ".join(["byoc train", *parts])
