"""Learning curves of all trials: the objective, and what else they printed, by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from byoc.html.element import Html
from byoc.html.lines import hues, line_plot
from byoc.html.plot import Key, side_by_side
from byoc.html.scale import whole_words
from byoc.tuning.page.trials import drawable, worst_first
from byoc.tuning.results import TrialResult, TuningResult

_NAMED = 8
"""So many trials have an entry of the legend each."""


def curves(result: TuningResult) -> Html | None:
    """None where no trial has a curve, as of those on SageMaker."""
    trials = [trial for trial in result.trials if trial.curve]
    ranked = worst_first(result, [trial for trial in drawable(result) if trial.curve])
    known = {trial.number for trial in ranked}
    order = [*(trial for trial in trials if trial.number not in known), *ranked]
    names = dict.fromkeys([result.objective, *(name for trial in order for name in trial.metrics)])
    drawn = [_plot(result, name, order) for name in names]
    return side_by_side(*drawn) if any(drawn) else None


def _plot(result: TuningResult, name: str, order: list[TrialResult]) -> Html | None:
    found = [(trial, _points(result, name, trial)) for trial in order]
    lines = [
        {
            "name": f"trial {trial.number}",
            "x": [*points],
            "mean": [value if math.isfinite(value) else None for value in points.values()],
            "samples": len(points),
            "not_finite": sum(not math.isfinite(value) for value in points.values()),
        }
        for trial, points in found
    ]
    colours = hues(len(lines))
    there = [
        (line, colour)
        for line, colour in zip(lines, colours, strict=True)
        if any(value is not None for value in line["mean"])  # type: ignore[attr-defined]
    ]
    plot = line_plot(
        name,
        [line for line, _ in there],
        x_title="epoch",
        x_words=whole_words,
        colours=[colour for _, colour in there],
        height=260,
    )
    if plot is None:
        return None
    if len(there) > _NAMED:
        plot.legend = [Key("the worst trial", there[0][1]), Key("the best trial", there[-1][1])]
    return plot.render()


def _points(result: TuningResult, name: str, trial: TrialResult) -> Mapping[int, float]:
    found = trial.curve if name == result.objective else trial.metrics.get(name, {})
    return dict(sorted(found.items()))
