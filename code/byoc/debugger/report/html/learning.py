"""Our own sections after AWS's: loss and metrics, gradient norms by layer, padding waste."""

from __future__ import annotations

from typing import Any

from byoc.debugger.report.html.overview import Report, fired
from byoc.html import parts
from byoc.html.element import Html, tag
from byoc.html.lines import hues, line_plot
from byoc.html.plot import UNITS, Plot, side_by_side
from byoc.html.scale import share_words

STEP = "optimizer step"


def curves(report: Report) -> list[Html | None]:
    found = report["curves"]
    drawn = [
        _plot("Loss", found["loss"], found["epochs"]),
        _plot("Metrics", found["metrics"], found["epochs"]),
        _plot("Learning rate", found["learning_rate"], found["epochs"], from_zero=True),
    ]
    if not any(drawn):
        return [tag("p", "No losses and no metrics were saved.", class_="muted")]
    return [fired(report, "curves"), parts.notes(found["notes"]), side_by_side(*drawn)]


def _plot(
    title: str, lines: list[dict[str, Any]], epochs: list[float], from_zero: bool = False
) -> Html | None:
    plot = line_plot(title, lines, x_title=STEP, from_zero=from_zero)
    if plot is None:
        return None
    plot.behind = epoch_ends(plot, epochs)
    if plot.behind:
        plot.caption = f"Upright lines: ends of epochs. {plot.caption}".strip()
    return plot.render()


def epoch_ends(plot: Plot, steps: list[float], most: int = 60) -> list[Html]:
    """Thin upright lines; none where they would be a grey field."""
    inside = [step for step in steps if plot.x.low <= step <= plot.x.high]
    if not inside or len(inside) > most:
        return []
    path = "".join(f"M{plot.across(step):g} 0V{UNITS}" for step in inside)
    return [tag("path", d=path, class_="grid")]


def gradients(report: Report) -> list[Html | None]:
    found = report["gradients"]
    layers = found["layers"]
    if not layers:
        return [
            tag("p", "No gradients were saved.", class_="muted"),
            fired(report, "gradients"),
        ]
    plot = line_plot(
        f"Gradients by layer: {found['measure']}",
        layers,
        x_title=STEP,
        logarithmic=True,
        height=320,
        colours=hues(len(layers)),
        caption="Colours from the input to the output of the network. The axis is logarithmic.",
    )
    return [
        fired(report, "gradients"),
        parts.notes(found["notes"]),
        plot.render() if plot else None,
    ]


def padding(report: Report) -> list[Html | None]:
    found = report["padding"]
    if found["share"] is None:
        return [
            tag("p", "No token ids were saved: padding is not known.", class_="muted"),
            fired(report, "padding"),
        ]
    plot = line_plot(
        "Padding in training batches",
        [found["over_time"]] if found["over_time"] else [],
        x_title=STEP,
        y_words=share_words,
        y_range=(0, 1),
        height=180,
    )
    return [
        fired(report, "padding"),
        parts.notes(found["notes"]),
        plot.render() if plot else None,
    ]
