"""Slices: the objective over one hyperparameter at a time."""

from __future__ import annotations

from collections.abc import Sequence

from byoc.html.element import Html, tag
from byoc.html.lines import dots, path
from byoc.html.plot import Key, Plot, legend_of, side_by_side
from byoc.html.scale import fitted
from byoc.html.text import number
from byoc.tuning.page.axes import Axis
from byoc.tuning.page.trials import BEST_COLOUR, STATUS_COLOURS, drawable, objective
from byoc.tuning.results import TrialResult, TuningResult


def slices(result: TuningResult, axes: Sequence[Axis]) -> list[Html | None]:
    """A legend and a plot for each hyperparameter; nothing where there are no values."""
    trials = drawable(result)
    if not trials:
        return []
    keys = [
        Key(status, colour, "dot")
        for status, colour in STATUS_COLOURS.items()
        if any(trial.status == status for trial in trials)
    ]
    if result.best is not None:
        keys.append(Key(f"the best, trial {result.best.number}", BEST_COLOUR, "dot"))
    says = f"{result.objective} over one hyperparameter at a time."
    return [
        tag("p", says),
        legend_of(keys),
        side_by_side(*(_slice(result, axis, trials) for axis in axes)),
    ]


def _slice(result: TuningResult, axis: Axis, trials: Sequence[TrialResult]) -> Html | None:
    found = [(value, trial) for trial in trials if (value := axis.value(trial)) is not None]
    if not found:
        return None
    plot = Plot(
        axis.name,
        axis.scale,
        fitted([objective(trial) for trial in trials]),
        says=_says(result, axis, found),
        readable=not axis.is_named,
    )
    best = result.best
    for status, colour in STATUS_COLOURS.items():
        points = [
            plot.at(value, objective(trial))
            for value, trial in found
            if trial.status == status and trial is not best
        ]
        if points:
            plot.marks.append(dots(points, f"--colour:{colour}"))
    for value, trial in found:
        if trial is best:
            point = plot.at(value, objective(trial))
            plot.marks.append(dots([point], f"--colour:{BEST_COLOUR}", "dots best"))
    points = [plot.at(value, objective(trial)) for value, trial in sorted(found, key=_place)]
    plot.marks.append(tag("path", d=path(points), data_name=result.objective))
    return plot.render()


def _place(found: tuple[float, TrialResult]) -> float:
    return found[0]


def _says(result: TuningResult, axis: Axis, found: Sequence[tuple[float, TrialResult]]) -> str:
    values = [value for value, _ in found]
    said = f"{result.objective} of {len(found)} trials with {axis.name} from "
    said += f"{axis.scale.words(min(values))} to {axis.scale.words(max(values))}."
    best = next((it for it in found if it[1] is result.best), None)
    if best is not None:
        said += f" The best, {number(objective(best[1]))}, at {axis.scale.words(best[0])}."
    return said
