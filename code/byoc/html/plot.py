"""The frame of a plot: title, legend, axes, caption, and the drawing that stretches between them.

The drawing is an SVG of 1000 by 1000 units that stretches to whatever room there is; lines keep
their width. Words stand beside it in HTML, so that they have the same size on a phone, on a wide
screen and on paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from byoc.html.element import Html, join, tag
from byoc.html.scale import Scale

UNITS = 1000
X_TICKS, Y_TICKS = 5, 4


@dataclass(frozen=True)
class Key:
    """An entry of a legend: ``style`` is line, area, dot or band."""

    name: str
    colour: str
    style: str = "line"


@dataclass
class Plot:
    """``marks`` are drawn over the grid, ``behind`` under it. ``says``: the plot in words, for
    those who do not see it."""

    title: str
    x: Scale
    y: Scale
    says: str
    x_title: str = ""
    height: int = 220
    marks: list[Html] = field(default_factory=list)
    behind: list[Html] = field(default_factory=list)
    legend: list[Key] = field(default_factory=list)
    caption: str = ""
    x_labels: bool = True
    x_grid: bool = False
    readable: bool = True
    """Whether values can be read off by pointing: its lines are functions of x."""

    def at(self, x: float, y: float) -> tuple[float, float]:
        """In the drawing's units, from the upper left."""
        return self.across(x), self.down(y)

    def across(self, x: float) -> float:
        return round(UNITS * self.x.place(x), 1)

    def down(self, y: float) -> float:
        # Far outside a browser draws nothing at all.
        return round(min(max(UNITS * (1 - self.y.place(y)), -UNITS), 2 * UNITS), 1)

    def render(self, class_: str = "") -> Html:
        return tag(
            "figure",
            tag("figcaption", self.title),
            legend_of(self.legend),
            tag(
                "div",
                self._y_labels(),
                self._drawing(),
                self._x_labels() if self.x_labels else None,
                class_="frame" if self.x_labels else "frame bare",
                style=f"--height:{self.height}px",
            ),
            tag("p", self.x_title, class_="axis") if self.x_title else None,
            tag("p", self.caption, class_="caption") if self.caption else None,
            class_=f"plot {class_}".strip(),
        )

    def _drawing(self) -> Html:
        scale = ";".join(
            f"{scale.low!r},{scale.high!r},{'log' if scale.logarithmic else 'linear'}"
            for scale in (self.x, self.y)
        )
        return tag(
            "svg",
            tag("title", f"{self.title}. {self.says}"),
            self.behind,
            self._grid(),
            self.marks,
            viewbox=f"0 0 {UNITS} {UNITS}",
            preserveaspectratio="none",
            role="img",
            aria_label=f"{self.title}. {self.says}",
            data_scale=scale if self.readable else None,
        )

    def _grid(self) -> Html:
        lines = [self.down(tick) for tick in self.y.ticks(Y_TICKS)]
        path = "".join(f"M0 {y:g}H{UNITS}" for y in lines if 0 <= y <= UNITS)
        if self.x_grid:
            across = [self.across(tick) for tick in self.x.ticks(X_TICKS)]
            path += "".join(f"M{x:g} 0V{UNITS}" for x in across if 0 < x < UNITS)
        return tag("path", d=path, class_="grid")

    def _y_labels(self) -> Html:
        ticks = [(tick, self.y.place(tick)) for tick in self.y.ticks(Y_TICKS)]
        labels = [
            tag("span", self.y.words(tick), style=f"bottom:{100 * place:.2f}%")
            for tick, place in ticks
            if -0.001 <= place <= 1.001
        ]
        return tag("div", labels, class_="y", aria_hidden="true")

    def _x_labels(self) -> Html:
        labels = []
        for tick in self.x.ticks(X_TICKS):
            place = self.x.place(tick)
            if -0.001 <= place <= 1.001:
                edge = "first" if place < 0.01 else "last" if place > 0.99 else None
                labels.append(
                    tag("span", self.x.words(tick), style=f"left:{100 * place:.2f}%", class_=edge)
                )
        return tag("div", labels, class_="x", aria_hidden="true")


def legend_of(keys: list[Key]) -> Html | None:
    if not keys:
        return None
    entries = [
        tag("li", tag("i", class_=f"key {key.style}", style=f"--colour:{key.colour}"), key.name)
        for key in keys
    ]
    return tag("ul", entries, class_="legend")


def side_by_side(*figures: Html | None) -> Html:
    """In columns where there is room."""
    return tag("div", join(figure for figure in figures if figure), class_="columns")
