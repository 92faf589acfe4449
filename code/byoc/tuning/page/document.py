"""tuning.html: a tuning on one page, whether a study here or a tuning job on SageMaker."""

from __future__ import annotations

import time
from collections.abc import Sequence

import byoc
from byoc.html import parts
from byoc.html.bars import Bar, bar_list
from byoc.html.document import document
from byoc.html.element import Html, tag
from byoc.html.text import duration, moment, number, percent
from byoc.tuning.budget import span
from byoc.tuning.importance import LEAST_TRIALS, importances
from byoc.tuning.page.axes import Axis, axes
from byoc.tuning.page.curves import curves
from byoc.tuning.page.history import history
from byoc.tuning.page.parallel import parallel
from byoc.tuning.page.slices import slices
from byoc.tuning.page.trials import drawable, objective
from byoc.tuning.ranges import short_text
from byoc.tuning.results import TuningResult

Drawn = list[Html | None]


def render(result: TuningResult) -> str:
    """The page of a tuning, at whatever point it stands."""
    found = axes(result)
    sections: tuple[tuple[str, str, Drawn], ...] = (
        ("tuning", "The tuning", _overview(result)),
        ("history", "History", [history(result) or _nothing("No trial has a value yet.")]),
        ("importance", "Importance", _importance(result, found)),
        ("parallel", "Parallel coordinates", [parallel(result, found) or _nothing(_NO_VALUES)]),
        ("slices", "Slices", slices(result, found) or [_nothing(_NO_VALUES)]),
        ("curves", "Learning curves", [curves(result) or _nothing(_no_curves(result))]),
        ("trials", "Trials", [_table(result, found)]),
    )
    made = f"Made by byoc {byoc.__version__}. The numbers: results.json, trials.csv."
    return document(
        "Hyperparameter tuning",
        result.name,
        [(name, title) for name, title, _ in sections],
        [
            parts.section(place, name, title, content)
            for place, (name, title, content) in enumerate(sections, start=1)
        ],
        made,
    )


_NO_VALUES = "No trial has a value to be drawn."


def _nothing(text: str) -> Html:
    return tag("p", text, class_="muted")


def _no_curves(result: TuningResult) -> str:
    if result.where == "sagemaker":
        return "SageMaker reports no learning curves with a tuning; the jobs' logs have them."
    return "No trial has printed its objective yet."


def _overview(result: TuningResult) -> Drawn:
    now, best = time.time(), result.best
    starts = [trial.started for trial in result.trials if trial.started]
    ended = len(result.trials) - result.count("InProgress")
    tiles = [
        ("Status", result.status),
        ("Trials ended", f"{ended} of {result.jobs}"),
        (f"Best {result.objective}", number(best.value, 4) if best else "none yet"),
        ("Best trial", str(best.number) if best else "none yet"),
        ("Began", moment(min(starts, default=None))),
        ("Trained for", duration(span(result.trials, now))),
        ("Goal", f"{result.direction} {result.objective}"),
        ("Where", result.where),
    ]
    others = [
        f"{count} {status.lower()}"
        for status in ("Pruned", "Stopped", "Failed")
        if (count := result.count(status))
    ]
    return [
        tag(
            "dl",
            [tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles],
            class_="tiles",
        ),
        tag("p", f"It was stopped: {result.cause}") if result.cause else None,
        tag("p", f"Of the trials, {', '.join(others)}.") if others else None,
        _best(result),
        parts.pairs(result.fixed, "What all trials share"),
    ]


def _best(result: TuningResult) -> Html | None:
    if result.best is None:
        return None
    shown = {name: short_text(text) for name, text in result.best.values.items()}
    return parts.pairs(shown, f"What the best trial has, trial {result.best.number}")


def _importance(result: TuningResult, found: Sequence[Axis]) -> Drawn:
    trials = [trial for trial in drawable(result) if trial.status == "Completed"]
    values: dict[str, list[float | str]] = {}
    for axis in found:
        places = [axis.value(trial) for trial in trials]
        if axis.is_named:
            values[axis.name] = [trial.values.get(axis.name, "") for trial in trials]
        elif None not in places:
            values[axis.name] = [place for place in places if place is not None]
    shares = importances(values, [objective(trial) for trial in trials])
    if not shares:
        text = f"It takes {LEAST_TRIALS} completed trials with different values to tell."
        return [_nothing(text)]
    bars = [Bar(it.name, it.share, percent(it.share), low=0.0, high=it.chance) for it in shares]
    caption = (
        f"The share of the variance of {len(trials)} completed trials' ranks that lies between "
        "groups of values of one hyperparameter alone (epsilon squared; 0: it made no difference). "
        "Thin line: what 19 of 20 random shufflings of the trials stay below, so a bar that is "
        "no longer tells nothing."
    )
    return [bar_list(f"What {result.objective} hung on", bars, caption)]


def _table(result: TuningResult, found: Sequence[Axis]) -> Html | None:
    now = time.time()
    names = [axis.name for axis in found]
    best = result.best
    rows = []
    for trial in result.trials:
        title = f"{trial.number}\u00a0best" if trial is best else str(trial.number)
        cause = tag("small", trial.cause) if trial.cause else None
        rows.append(
            [
                title,
                tag("span", trial.status, cause),
                number(trial.value, 4),
                number(max(trial.curve, default=None)),
                *(short_text(trial.values.get(name, "")) for name in names),
                duration(trial.seconds(now)) if trial.started else "",
            ]
        )
    heads = ("Trial", "Status", result.objective, "Epochs", *names, "Took")
    return parts.table(heads, rows, "Trials", words=2) or _nothing("No trial has begun.")
