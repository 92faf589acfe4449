"""Parallel coordinates: a line through each trial's hyperparameters to its objective."""

from __future__ import annotations

from collections.abc import Sequence

from byoc.html.element import Html, tag
from byoc.html.lines import hues, path
from byoc.html.plot import UNITS, Key, legend_of
from byoc.html.scale import Scale, fitted
from byoc.html.text import number
from byoc.tuning.page.axes import Axis, Names
from byoc.tuning.page.trials import drawable, objective, worst_first
from byoc.tuning.results import TrialResult, TuningResult

_AIR = 0.04
"""Above and below, so that the outermost labels stay inside."""
_NAMES = 12
_PRUNED = "var(--band-a)"

TITLE = "Hyperparameters and objective"


def parallel(result: TuningResult, axes: Sequence[Axis]) -> Html | None:
    """None where there is nothing to draw. Lines are coloured by the objective's rank."""
    trials = worst_first(result, drawable(result))
    if not trials or not axes:
        return None
    places: list[Axis | Scale] = [*axes, fitted([objective(trial) for trial in trials])]
    completed = [trial for trial in trials if trial.status == "Completed"]
    colours = dict(zip((it.number for it in completed), hues(len(completed)), strict=True))
    best = result.best.number if result.best else None
    # The better, the later, so that it lies on top.
    order = sorted(trials, key=lambda trial: (trial.status == "Completed", trial.number == best))
    lines = [
        _line(trial, places, colours.get(trial.number), trial.number == best) for trial in order
    ]
    names = [*(axis.name for axis in axes), result.objective]
    drawing = tag(
        "div",
        tag("div", [tag("b", name) for name in names], class_="heads"),
        tag(
            "div",
            _svg(lines, len(places), f"{TITLE}. {_says(result, completed)}"),
            _labels(places),
            class_="field",
        ),
        class_="parallel",
        style=f"--axes:{len(places)}",
    )
    return tag(
        "figure",
        tag("figcaption", TITLE),
        legend_of(_keys(trials, completed, colours)),
        tag("div", drawing, class_="scroll", tabindex="0", role="region", aria_label=TITLE),
        class_="plot",
    )


def _svg(lines: list[Html], count: int, says: str) -> Html:
    return tag(
        "svg",
        tag("title", says),
        [_axis(place, count) for place in range(count)],
        lines,
        viewbox=f"0 0 {UNITS} {UNITS}",
        preserveaspectratio="none",
        role="img",
        aria_label=says,
    )


def _across(place: int, count: int) -> float:
    return round(UNITS * (place + 0.5) / count, 1)


def _down(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return round(UNITS * (1 - _AIR - share * (1 - 2 * _AIR)), 1)


def _axis(place: int, count: int) -> Html:
    x = _across(place, count)
    return tag(
        "path",
        d=f"M{x:g} {_down(1):g}V{_down(0):g}",
        class_="line thin faint",
        style="--colour:var(--soft)",
    )


def _line(
    trial: TrialResult, places: Sequence[Axis | Scale], colour: str | None, is_best: bool
) -> Html:
    points = []
    for place, axis in enumerate(places):
        value = axis.value(trial) if isinstance(axis, Axis) else objective(trial)
        scale = axis.scale if isinstance(axis, Axis) else axis
        if value is not None:
            points.append((_across(place, len(places)), _down(scale.place(value))))
    kind = "line best" if is_best else "line" if colour else "line thin faint"
    return tag("path", d=path(points), class_=kind, style=f"--colour:{colour or _PRUNED}")


def _labels(places: Sequence[Axis | Scale]) -> list[Html]:
    """At both ends of an axis of numbers, at each value of one of names."""
    labels = []
    for place, axis in enumerate(places):
        scale = axis.scale if isinstance(axis, Axis) else axis
        ticks = scale.ticks(_NAMES) if isinstance(scale, Names) else [scale.low, scale.high]
        for tick in ticks:
            left = _across(place, len(places)) / UNITS
            bottom = 1 - _down(scale.place(tick)) / UNITS
            style = f"left:{100 * left:.2f}%;bottom:{100 * bottom:.2f}%"
            labels.append(tag("span", scale.words(tick), style=style, aria_hidden="true"))
    return labels


def _keys(
    trials: Sequence[TrialResult], completed: Sequence[TrialResult], colours: dict[int, str]
) -> list[Key]:
    keys = []
    if completed:
        worst, best = completed[0], completed[-1]
        if worst is not best:
            keys.append(Key(f"the worst, {number(objective(worst))}", colours[worst.number]))
        keys.append(Key(f"the best, {number(objective(best))}", colours[best.number]))
    if len(completed) < len(trials):
        keys.append(Key("pruned, or still running", _PRUNED))
    return keys


def _says(result: TuningResult, completed: Sequence[TrialResult]) -> str:
    best = result.best
    if best is None:
        return "No trial has completed."
    values = ", ".join(f"{name} {value}" for name, value in best.values.items())
    return f"{len(completed)} completed trials; the best has {values}."
