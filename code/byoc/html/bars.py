"""Histograms, and lists of bars with a number at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from byoc.html.element import Html, tag
from byoc.html.lines import COLOURS
from byoc.html.plot import Key, Plot
from byoc.html.scale import Scale, Words, fitted_log
from byoc.html.text import number


@dataclass(frozen=True)
class Bar:
    """``share`` of the room, 0 to 1; ``low`` and ``high``: a thin range over it."""

    name: str
    share: float
    words: str
    colour: str = COLOURS[0]
    low: float | None = None
    high: float | None = None
    inset: bool = False


def bar_list(title: str, bars: Sequence[Bar], caption: str = "", code: bool = False) -> Html | None:
    if not bars:
        return None
    rows = [
        tag(
            "li",
            tag("span", bar.name, class_="name code" if code else "name"),
            tag(
                "span",
                tag(
                    "i",
                    style=f"width:{100 * min(max(bar.share, 0), 1):.2f}%;--colour:{bar.colour}",
                ),
                _range(bar),
                class_="track",
                aria_hidden="true",
            ),
            tag("span", bar.words, class_="value"),
            class_="inset" if bar.inset else None,
        )
        for bar in bars
    ]
    return tag(
        "figure",
        tag("figcaption", title),
        tag("ul", rows, class_="bars"),
        tag("p", caption, class_="caption") if caption else None,
        class_="plot",
    )


def _range(bar: Bar) -> Html | None:
    if bar.low is None or bar.high is None:
        return None
    width = max(bar.high - bar.low, 0)
    return tag("b", style=f"left:{100 * bar.low:.2f}%;width:{100 * width:.2f}%")


@dataclass(frozen=True)
class Counted:
    name: str
    edges: Sequence[float]
    counts: Sequence[int]
    logarithmic: bool


def histogram(
    title: str, found: Sequence[Counted], words: Words, x_title: str, caption: str = ""
) -> Plot:
    """Several over each other: as shares of each one's own count."""
    several = len(found) > 1
    edges = [edge for counted in found for edge in counted.edges]
    logarithmic = any(counted.logarithmic for counted in found)
    x = fitted_log(edges, words) if logarithmic else Scale(min(edges), max(edges), words=words)
    heights = [_heights(counted, several) for counted in found]
    top = max(max(height) for height in heights) * 1.05 or 1.0
    plot = Plot(
        title,
        x,
        Scale(0.0, top, words=(lambda value: f"{value:.0%}") if several else number),
        says=" ".join(_says(counted, words) for counted in found),
        x_title=x_title,
        caption=caption,
        readable=False,
    )
    for place, (counted, height) in enumerate(zip(found, heights, strict=True)):
        colour = COLOURS[place]
        plot.marks.append(
            tag(
                "path",
                d=_steps(plot, counted.edges, height),
                class_="bins",
                style=f"--colour:{colour}",
            )
        )
    if several:
        plot.legend = [
            Key(counted.name, COLOURS[place], "area") for place, counted in enumerate(found)
        ]
    return plot


def _heights(counted: Counted, shares: bool) -> list[float]:
    whole = sum(counted.counts) or 1
    return [count / whole if shares else float(count) for count in counted.counts]


def _steps(plot: Plot, edges: Sequence[float], heights: Sequence[float]) -> str:
    parts = []
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        if height:
            x, y = plot.at(left, height)
            parts.append(f"M{x:g} {plot.down(0):g}V{y:g}H{plot.across(right):g}V{plot.down(0):g}Z")
    return "".join(parts)


def _says(counted: Counted, words: Words) -> str:
    most = max(range(len(counted.counts)), key=lambda place: counted.counts[place])
    return (
        f"{counted.name}: {number(sum(counted.counts))} from {words(counted.edges[0])} to "
        f"{words(counted.edges[-1])}, most between {words(counted.edges[most])} and "
        f"{words(counted.edges[most + 1])}."
    )
