"""The objective of each trial in their order, and the best one so far."""

from __future__ import annotations

from byoc.html.element import Html, tag
from byoc.html.lines import dots, path
from byoc.html.plot import Key, Plot
from byoc.html.scale import Scale, fitted, whole_words
from byoc.html.text import number
from byoc.tuning.page.trials import BEST_COLOUR, STATUS_COLOURS, drawable, objective
from byoc.tuning.results import TrialResult, TuningResult

SO_FAR = "best so far"


def history(result: TuningResult) -> Html | None:
    """None where no trial has a value."""
    trials = drawable(result)
    if not trials:
        return None
    numbers = [trial.number for trial in result.trials]
    values = [objective(trial) for trial in trials]
    plot = Plot(
        f"{result.objective} by trial",
        Scale(min(numbers) - 0.5, max(numbers) + 0.5, words=whole_words),
        fitted(values),
        says=f"{len(trials)} trials, from {number(min(values))} to {number(max(values))}. "
        + _best_in_words(result),
        x_title="trial",
        height=280,
        caption=_without_value(result),
    )
    steps = so_far(result)
    if steps:
        points = [plot.at(*step) for step in steps]
        style = f"--colour:{BEST_COLOUR}"
        plot.marks.append(tag("path", d=path(points), class_="line", style=style, data_name=SO_FAR))
        plot.legend.append(Key(SO_FAR, BEST_COLOUR))
    for status, colour in STATUS_COLOURS.items():
        found = [plot.at(it.number, objective(it)) for it in trials if it.status == status]
        if found:
            plot.marks.append(dots(found, f"--colour:{colour}"))
            plot.legend.append(Key(status, colour, "dot"))
    if result.best is not None:
        best = plot.at(result.best.number, objective(result.best))
        plot.marks.append(dots([best], f"--colour:{BEST_COLOUR}", "dots best"))
    # Without a class it is not drawn: for the values under the pointer.
    every = [plot.at(it.number, objective(it)) for it in trials]
    plot.marks.append(tag("path", d=path(every), data_name=result.objective))
    return plot.render()


def so_far(result: TuningResult) -> list[tuple[float, float]]:
    """(trial, best value of the completed trials up to it), with a point on both sides of each
    step, and the last one held to the end."""
    best: TrialResult | None = None
    sign = 1 if result.direction == "Maximize" else -1
    steps: list[tuple[float, float]] = []
    for trial in drawable(result):
        if trial.status != "Completed":
            continue
        if best is None or sign * objective(trial) > sign * objective(best):
            if best is not None:
                steps.append((trial.number, objective(best)))
            best = trial
            steps.append((trial.number, objective(best)))
    if best is not None:
        steps.append((result.trials[-1].number, objective(best)))
    return steps


def _best_in_words(result: TuningResult) -> str:
    best = result.best
    return f"The best is trial {best.number}." if best else "None has completed."


def _without_value(result: TuningResult) -> str:
    there = {trial.number for trial in drawable(result)}
    missing = [trial.number for trial in result.trials if trial.number not in there]
    if not missing:
        return ""
    named = ", ".join(str(place) for place in missing[:10]) + (", …" if len(missing) > 10 else "")
    return f"Without a value, and not drawn: trial {named}."
