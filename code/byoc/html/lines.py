"""Curves of report.json as lines, with the band of their extremes where they were cut down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from byoc.html.element import Html, tag
from byoc.html.plot import Key, Plot
from byoc.html.scale import Scale, Words, fitted, fitted_log
from byoc.html.text import number

COLOURS = tuple(f"var(--c{place})" for place in range(8))


def hues(count: int) -> list[str]:
    """So many colours in order, from blue through green to red, all equally light."""
    return [
        f"hsl({250 - 230 * place / max(1, count - 1):.0f} 60% var(--lightness))"
        for place in range(count)
    ]


_FEW = 60
"""A line of so few points shows each as a dot."""


def line_plot(
    title: str,
    curves: Sequence[dict[str, Any]],
    *,
    x_title: str = "",
    x_words: Words = number,
    y_words: Words = number,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    logarithmic: bool = False,
    from_zero: bool = False,
    height: int = 220,
    colours: Sequence[str] | None = None,
    caption: str = "",
) -> Plot | None:
    """None where there is nothing to draw."""
    drawn = [curve for curve in curves if any(value is not None for value in curve["mean"])]
    if not drawn:
        return None
    values = [value for curve in drawn for value in extremes(curve)]
    if y_range:
        y = Scale(*y_range, words=y_words)
    elif logarithmic and max(values) > 0:
        y = fitted_log(values, y_words)
    else:
        y = fitted(values, y_words, from_zero)
    plot = Plot(
        title,
        x_scale([x for curve in drawn for x in curve["x"]], x_words, x_range),
        y,
        says=in_words(drawn),
        x_title=x_title,
        height=height,
    )
    chosen = colours or [COLOURS[place % len(COLOURS)] for place in range(len(drawn))]
    for curve, colour in zip(drawn, chosen, strict=False):
        plot.marks += marks_of(plot, curve, colour)
    if len(drawn) > 1:
        plot.legend = [Key(c["name"], colour) for c, colour in zip(drawn, chosen, strict=False)]
    plot.caption = " ".join(filter(None, (caption, notes_of(drawn))))
    return plot


def x_scale(values: list[float], words: Words, given: tuple[float, float] | None) -> Scale:
    low, high = given or (min(values), max(values))
    return Scale(low, high if high > low else low + 1, words=words)


def extremes(curve: dict[str, Any]) -> list[float]:
    found = [*curve["mean"], *curve.get("low", ()), *curve.get("high", ())]
    return [value for value in found if value is not None]


def marks_of(plot: Plot, curve: dict[str, Any], colour: str) -> list[Html]:
    """The band first, then the line over it; dots where the points are few."""
    marks = []
    style = f"--colour:{colour}"
    if "low" in curve:
        there = [plot.at(x, y) for x, y in zip(curve["x"], curve["high"], strict=True)]
        back = [plot.at(x, y) for x, y in zip(curve["x"], curve["low"], strict=True)]
        marks.append(tag("path", d=path(there + back[::-1]) + "Z", class_="area", style=style))
    points = [
        plot.at(x, y) for x, y in zip(curve["x"], curve["mean"], strict=True) if y is not None
    ]
    marks.append(
        tag(
            "path",
            d=path(points),
            class_="line thin" if "low" in curve else "line",
            style=style,
            data_name=curve["name"],
        )
    )
    if len(points) <= _FEW:
        marks.append(dots(points, style))
    return marks


def dots(points: list[tuple[float, float]], style: str, class_: str = "dots") -> Html:
    """Round ones, whatever the drawing's shape: lines of no length with round ends."""
    return tag("path", d="".join(f"M{x:g} {y:g}h0" for x, y in points), class_=class_, style=style)


def path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def in_words(curves: Sequence[dict[str, Any]], most: int = 8) -> str:
    """Each line's first, last, lowest and highest value."""
    said = []
    for curve in curves[:most]:
        values = [value for value in curve["mean"] if value is not None]
        said.append(
            f"{curve['name']}: from {number(values[0])} to {number(values[-1])}, lowest "
            f"{number(min(extremes(curve)))}, highest {number(max(extremes(curve)))}"
        )
    more = len(curves) - most
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "") + "."


def notes_of(curves: Sequence[dict[str, Any]]) -> str:
    """What a caption must say for the picture to be honest."""
    notes = []
    if any("low" in curve for curve in curves):
        most = max(curve["samples"] for curve in curves)
        columns = max(len(curve["x"]) for curve in curves)
        notes.append(f"{number(most)} samples in {number(columns)} columns: {_BAND}")
    broken = sum(curve["not_finite"] for curve in curves)
    if broken:
        notes.append(f"{number(broken)} values are NaN or infinite and are not drawn.")
    return " ".join(notes)


_BAND = "the line is each column's mean, the band reaches from its lowest to its highest sample."
