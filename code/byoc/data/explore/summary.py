"""An exploration in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from byoc.data.explore.drift import NAMES
from byoc.data.texts import visible

Report = dict[str, Any]

_MOST_LABELS = 10


def show(report: Report, console: Console | None = None) -> None:
    """Tables of what matters; everything is on the page."""
    console = console or Console(markup=False, highlight=False)
    for table in (_labels(report), _lengths(report), _cut(report), _drift(report)):
        if table is not None:
            console.print(table)
    for line in _lines(report):
        console.print(line, soft_wrap=True)


def _table(*heads: str) -> Table:
    table = Table(*heads)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _labels(report: Report) -> Table:
    table = _table("label", *report["labels"])
    names = list(report["labels"]["train"])
    for label in names[:_MOST_LABELS]:
        table.add_row(
            visible(label),
            *(
                f"{counts[label]:,} ({counts[label] / report['rows'][split]:.1%})"
                for split, counts in report["labels"].items()
            ),
        )
    if len(names) > _MOST_LABELS:
        table.add_row(f"and {len(names) - _MOST_LABELS} more")
    table.add_row("all", *(f"{rows:,}" for rows in report["rows"].values()))
    return table


def _lengths(report: Report) -> Table:
    shown = ("5", "50", "95", "99")
    table = _table("length in", "split", "mean", *(f"{at}%" for at in shown), "longest")
    for split, kinds in report["lengths"].items():
        for unit, found in kinds.items():
            percentiles = (f"{found['percentiles'][at]:,}" for at in shown)
            name = {"pieces": "word pieces"}.get(unit, unit)
            table.add_row(
                name, split, f"{found['mean']:.1f}", *percentiles, f"{found['longest']:,}"
            )
    return table


def _cut(report: Report) -> Table | None:
    if report["pieces"] is None:
        return None
    table = _table("cut at max-length", *map(str, report["max_lengths"]))
    for split, kinds in report["lengths"].items():
        shares = kinds["pieces"]["cut"].values()
        table.add_row(split, *(f"{share:.2%}" if share else "0" for share in shares))
    return table


def _drift(report: Report) -> Table | None:
    if not report["drift"]:
        return None
    table = _table("drift from train", "split", "found", "by chance", "")
    for split, found in report["drift"].items():
        for row in found:
            verdict = "differs" if row["notable"] else "as train"
            name = NAMES[row["measure"]]
            table.add_row(name, split, f"{row['found']:.3f}", f"{row['by_chance']:.3f}", verdict)
    return table


def _lines(report: Report) -> list[str]:
    found, advice, of = report["duplicates"], report["suggestion"], report["pieces"]
    lines = [
        f"word pieces: by {of['of']}"
        if of
        else "word pieces: not counted, as no --model was given: characters and words only",
        f"duplicates: {found['exact']:,} rows repeat a text exactly, {found['normalised']:,} but "
        f"for case and spaces; {found['conflicting']['texts']:,} texts have more than one label",
    ]
    lines += [
        f"leakage: rows of {pair.replace(' and ', ' that stand in ')} too: {counts['normalised']:,}"
        for pair, counts in found["across"].items()
        if counts["normalised"]
    ]
    lines += [
        f"odd characters: {entry['rows']:,} rows with {entry['kind']}"
        for entry in report["odd_characters"]
    ]
    if advice["max_length"]:
        lines.append(f"max-length {advice['max_length']}: {advice['max_length_reason']}")
    lines.append(f"batch-size {advice['batch_size']}: {advice['batch_size_reason']}")
    return [*report["notes"], *lines]
