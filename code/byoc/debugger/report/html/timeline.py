"""The system timeline: one narrow plot for each metric, all on one clock, phases behind them."""

from __future__ import annotations

from typing import Any

from byoc.html.element import Html, tag
from byoc.html.lines import line_plot, notes_of
from byoc.html.plot import UNITS, Key, Plot, legend_of
from byoc.html.scale import (
    Words,
    clock_words,
    percent_words,
    rate_words,
    size_words,
)
from byoc.html.text import number

_BANDS = {
    "Initialization": "var(--band-a)",
    "Validation": "var(--band-b)",
    "Checkpoint": "var(--band-c)",
    "Finalization": "var(--band-a)",
}
_WORDS: dict[str, Words] = {"%": percent_words, "B": size_words, "B/s": rate_words}
_HEIGHT = 72


def timeline(report: dict[str, Any]) -> list[Html | None]:
    found = report["system"]
    seconds = report["job"]["seconds"] or 1
    plots = []
    for row in found["timeline"]:
        percents = row["unit"] == "%"
        plot = line_plot(
            row["title"] + (f", {row['unit']}" if row["unit"] not in ("", "%", "B", "B/s") else ""),
            row["lines"],
            x_words=clock_words,
            x_range=(0, seconds),
            y_words=_WORDS.get(row["unit"], number),
            y_range=(0, 100) if percents and _fits(row["lines"]) else None,
            from_zero=True,
            height=_HEIGHT,
        )
        if plot is not None:
            plot.behind = bands(plot, found["bands"])
            # Said once, below them all.
            plot.caption = ""
            plot.x_labels, plot.x_grid = False, True
            plots.append(plot)
    if not plots:
        return []
    plots[-1].x_labels = True
    return [
        tag("h3", "Timeline"),
        _key(found["bands"]),
        tag("div", [plot.render() for plot in plots], class_="stack"),
        tag(
            "p",
            notes_of([line for row in found["timeline"] for line in row["lines"]]),
            class_="caption",
        ),
    ]


def _fits(lines: list[dict[str, Any]]) -> bool:
    return all(
        value is None or value <= 100
        for line in lines
        for value in (*line["mean"], *line.get("high", ()))
    )


def bands(plot: Plot, found: list[dict[str, Any]]) -> list[Html]:
    """Phases as full-height bands; never narrower than a line."""
    marks = []
    for name, colour in _BANDS.items():
        parts = []
        for band in found:
            if band["name"] == name:
                left, right = plot.across(band["start"]), plot.across(band["end"])
                parts.append(f"M{left:g} 0H{max(right, left + 1):g}V{UNITS}H{left:g}Z")
        if parts:
            marks.append(tag("path", d="".join(parts), class_="band", style=f"--colour:{colour}"))
    return marks


def _key(found: list[dict[str, Any]]) -> Html | None:
    names = {band["name"] for band in found}
    keys = []
    if names & {"Initialization", "Finalization"}:
        keys.append(Key("Initialization, finalization", _BANDS["Initialization"], "band"))
    keys += [
        Key(name, _BANDS[name], "band") for name in ("Validation", "Checkpoint") if name in names
    ]
    return legend_of(keys)
