"""tuning.html as a document, and the measure of importance."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from byoc.tuning import files
from byoc.tuning.importance import importances
from byoc.tuning.page.axes import Names, axes
from byoc.tuning.page.document import render
from byoc.tuning.page.history import so_far
from byoc.tuning.results import TuningResult
from debug_runs import NASTY
from outline import Outline
from tuning_results import trial, tuning, twenty


def words(page: str) -> str:
    return " ".join(" ".join(Outline(page).text).split())


def test_the_page_shows_the_tuning_and_its_best_trial() -> None:
    text = words(render(twenty()))
    assert "Trials ended 19 of 20" in text
    assert "Best val_mcc 0.5 Best trial 10" in text
    assert "1 pruned, 1 failed" in text
    assert "What the best trial has, trial 10 lr 0.0001 batch-size 32" in text
    assert "Without a value, and not drawn: trial 3, 7." in text
    assert "the disk is full: take a larger volume" in text
    for figure in ("val_mcc by trial", "Hyperparameters and objective", "lr", "val_loss"):
        assert f"<figcaption>{figure}</figcaption>" in render(twenty())


def test_each_trial_is_a_line_of_the_coordinates_and_of_the_curves() -> None:
    page = render(twenty())
    coordinates = re.search(r'<div class="field">.*?</svg>', page, re.S)
    assert coordinates is not None
    # 18 have a finite value; 3 axes are drawn in the same manner.
    assert coordinates[0].count('class="line') == 18 + 3
    assert coordinates[0].count('class="line best"') == 1
    curves = page[page.index('id="curves"') : page.index('id="trials"')]
    named = re.findall(r'data-name="trial (\d+)"', curves)
    assert {int(name) for name in named} == {*range(20)} - {3, 7}


def test_the_best_so_far_only_rises_and_only_completed_trials_count() -> None:
    found = tuning(
        trial(0, 0.1),
        trial(1, 0.9, "Pruned"),
        trial(2, 0.3),
        trial(3, 0.2),
        trial(4, None, "Failed"),
    )
    assert so_far(found) == [(0, 0.1), (2, 0.1), (2, 0.3), (4, 0.3)]
    small = tuning(trial(0, 0.3), trial(1, 0.1), direction="Minimize")
    assert so_far(small) == [(0, 0.3), (1, 0.3), (1, 0.1), (1, 0.1)]


@pytest.mark.parametrize(
    "result",
    [
        tuning(),
        tuning(trial(0, None, "Failed", cause=NASTY)),
        tuning(trial(0, 0.5)),
        tuning(trial(0, 0.5, curve={})),
        tuning(trial(0, float("inf")), trial(1, float("nan"))),
        tuning(*(trial(n, 0.5) for n in range(9))),
        tuning(trial(0, 0.5, values={NASTY: NASTY}), trial(1, 0.4), ranges=(), name=NASTY),
        tuning(trial(0, 0.5, values={}), fixed={NASTY: NASTY}, objective=NASTY),
    ],
    ids=["none", "failed", "one", "no curve", "not finite", "all the same", "names", "no values"],
)
def test_any_tuning_makes_a_page_that_is_whole(result: TuningResult, tmp_path: Path) -> None:
    page = render(result)
    outline = Outline(page)
    assert outline.scripts == 1
    assert [it for it in outline.addresses if not it.startswith("#")] == []
    assert {it[1:] for it in outline.addresses} <= set(outline.ids)
    assert not re.search(r"url\(|@import|https?://", page)
    for drawing in re.findall(r"<svg.*?</svg>", page, re.S):
        assert "nan" not in drawing.lower()
        assert re.search(r'aria-label="[^"]{10,}"', drawing)
    files.write(result, tmp_path)
    read = json.loads((tmp_path / files.RESULTS).read_text(), parse_constant=pytest.fail)
    assert len(read["trials"]) == len(result.trials)


def test_an_axis_is_the_ranges_own_else_what_the_trials_had() -> None:
    lr, batch = axes(twenty())
    assert (lr.scale.low, lr.scale.high, lr.scale.logarithmic) == (1e-5, 1e-3, True)
    assert isinstance(batch.scale, Names)
    assert batch.scale.names == ("16", "32", "64")
    odd = tuning(trial(0, 0.5, values={"a": "1", "b": "x"}), trial(1, 0.4, values={"a": "2"}))
    found = {axis.name: axis for axis in axes(TuningResult(**{**vars(odd), "ranges": ()}))}
    assert found["a"].value(odd.trials[1]) == 2
    assert found["b"].value(odd.trials[0]) == 0
    assert found["b"].value(odd.trials[1]) is None


def made(count: int, effect: float, seed: int) -> tuple[dict[str, Any], list[float]]:
    """Trials whose objective hangs on ``a`` by ``effect``, and on nothing else."""
    chance = random.Random(seed)
    a = [chance.random() for _ in range(count)]
    b = [chance.choice(["x", "y", "z"]) for _ in range(count)]
    return {"a": a, "b": b}, [effect * value + chance.gauss(0, 1) for value in a]


def test_what_matters_is_important_and_what_does_not_is_not() -> None:
    values, objectives = made(60, 20.0, 0)
    first, second = importances(values, objectives)
    assert first.name == "a"
    assert first.share > 0.8 > 0.3 > first.chance
    assert second.share <= second.chance < 0.3


def test_chance_passes_its_line_once_in_twenty() -> None:
    above = [
        found.share > found.chance
        for seed in range(20)
        for found in importances(*made(16, 0.0, seed))
    ]
    assert len(above) == 40
    assert sum(above) <= 6  # 2 are expected


def test_a_trial_that_went_astray_does_not_decide() -> None:
    values, objectives = made(30, 20.0, 1)
    before = importances(values, objectives)[0]
    objectives[objectives.index(max(objectives))] = 1e12
    assert importances(values, objectives)[0] == before


def test_of_few_trials_or_equal_ones_nothing_is_said() -> None:
    assert importances({"a": [1, 2, 3, 4, 5]}, [1, 2, 3, 4, 5]) == []
    assert importances({"a": [1, 2, 3, 4, 5, 6]}, [1.0] * 6) == []
    assert importances({"a": [1.0] * 6}, [1, 2, 3, 4, 5, 6]) == []
    # Each trial a value of its own explains nothing.
    assert importances({"a": [*"abcdef"]}, [1, 2, 3, 4, 5, 6])[0].share == 0
