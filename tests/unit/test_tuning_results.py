"""What a tuning says of itself: budget, estimate, best trial, settings that cannot matter."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna
import pytest

from byoc.launch.errors import LaunchError
from byoc.tuning import matter, search
from byoc.tuning.budget import Budget, estimate, read_price, span
from byoc.tuning.definition_file import read
from byoc.tuning.results import TrialResult, TuningResult
from byoc.tuning.table import headline, line

COLA = read("cola")


def trial(number: int, status: str, value: float | None = None, **more: Any) -> TrialResult:
    return TrialResult(number, f"t-{number:04d}", status, {"lr": "1e-4"}, value, **more)


def tuning(*trials: TrialResult, direction: str = "Minimize") -> TuningResult:
    return TuningResult("t", "process", "val_loss", direction, "InProgress", 9, {}, trials)


def test_only_completed_trials_can_be_the_best() -> None:
    trials = [
        trial(0, "Completed", 0.5),
        trial(1, "Pruned", 0.1),
        trial(2, "Completed", 0.4),
        trial(3, "Completed", 0.4),
        trial(4, "Failed"),
    ]
    assert tuning(*trials).best == trials[2]
    assert tuning(*trials, direction="Maximize").best == trials[0]
    assert tuning(trials[1], trials[4]).best is None
    assert headline(tuning(*trials)) == (
        "t: InProgress, 5 of 9 trials (1 pruned, 1 failed); best val_loss 0.4000 (trial 2)"
    )


def test_a_failed_trials_line_has_its_cause() -> None:
    found = trial(4, "Failed", cause="the disk is full", started=10.0, ended=52.0)
    assert line("val_loss", found) == "trial 4: Failed lr=0.0001 (42 s): the disk is full"


def test_time_is_that_in_which_some_trial_ran() -> None:
    trials = [
        trial(0, "Completed", started=0.0 + 1, ended=11.0),
        trial(1, "Completed", started=6.0, ended=16.0),
        trial(2, "InProgress", started=100.0),
        trial(3, "InProgress"),
    ]
    assert span(trials, 105.0) == 20.0


def test_a_budget_says_when_it_is_spent() -> None:
    hour = trial(0, "Completed", started=1.0, ended=3601.0)
    assert Budget(seconds=3600).limit(tuning(hour)) == "--max-time is up: 3600 s"
    assert Budget(seconds=3601).limit(tuning(hour)) == ""
    assert "--max-cost is spent: 2.00 of 2" in Budget(cost=2, price=1.0).limit(tuning(hour, hour))
    assert Budget(cost=2.1, price=1.0).limit(tuning(hour, hour)) == ""


def test_the_estimate_is_the_trials_median_and_never_above_the_bound() -> None:
    definition = dataclasses.replace(COLA, max_runtime=7200)
    took = [trial(n, "Completed", started=1.0, ended=1.0 + s) for n, s in enumerate((50, 60, 900))]
    told = estimate(definition, Budget(price=3.6), [*took, trial(3, "Failed")])
    assert told == (
        "estimate: 12 trials, 2 at a time: about 6.0 min, cost 0.72 by 3 trials; "
        "at most 12.0 h, cost 86.40"
    )
    unknown = estimate(definition, Budget(seconds=3600), [])
    assert unknown.endswith("how long a trial takes is not known yet; at most 1.0 h")


def test_prices_are_the_users(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('"ml.g5.xlarge" = 1.41\n')
    assert read_price(table, "ml.g5.xlarge") == 1.41
    with pytest.raises(LaunchError, match=r'needs a line "ml\.p5\.48xlarge" = PRICE'):
        read_price(table, "ml.p5.48xlarge")
    with pytest.raises(LaunchError, match="cannot read the prices"):
        read_price(tmp_path / "none", "ml.g5.xlarge")


def test_lengths_above_the_longest_input_are_one_model() -> None:
    (said,) = matter.findings(COLA, {"train": ""}, 47)
    assert said.startswith("max-length 128 and 256 give the same model: the longest input has 47")
    assert matter.findings(COLA, {"train": ""}, 200) == []
    assert matter.findings(COLA, {"train": ""}) == []


def test_other_settings_that_cannot_matter() -> None:
    ranges = {
        "num-workers": {"min": 0, "max": 4},
        "validation-fraction": {"min": 0.1, "max": 0.2},
        "early-stopping-patience": {"min": 3, "max": 9},
        "batch-size": {"values": [16]},
    }
    found = read(flags={"ranges": ranges, "fixed": {"epochs": 3}})
    said = matter.findings(found, {"train": "", "validation": ""})
    assert [text.split()[0] for text in said] == [*ranges]
    assert all("cannot matter" in text for text in said)
    script = dataclasses.replace(found, fixed={"sagemaker_program": "train.py"})
    assert matter.findings(script, {"validation": ""}) == []


def test_samples_keep_to_their_ranges_and_scales() -> None:
    ranges = {
        "lr": {"min": 1e-5, "max": 1e-4, "scaling": "Logarithmic"},
        "momentum": {"min": 0.5, "max": 0.999, "scaling": "ReverseLogarithmic"},
        "layers": {"min": 1, "max": 4},
        "batch-size": {"values": [16, 32]},
    }
    definition = read(flags={"ranges": ranges, "strategy": "Random"})
    study = optuna.create_study()
    study.sampler = search.sampler(definition, 0)
    momenta = []
    for _ in range(60):
        found = search.values(definition, study.ask(search.distributions(definition)).params)
        assert [*found] == [*ranges]
        assert 1e-5 <= float(found["lr"]) <= 1e-4
        assert 0.5 <= float(found["momentum"]) <= 0.999
        assert found["layers"] in {"1", "2", "3", "4"}
        assert found["batch-size"] in {"16", "32"}
        back = search.params(definition, found)
        assert back is not None
        again = {name: float(value) for name, value in search.values(definition, back).items()}
        assert again == pytest.approx({name: float(value) for name, value in found.items()})
        momenta.append(float(found["momentum"]))
    assert (
        sum(it > 0.97 for it in momenta) > 15
    )  # near 1, where a linear scale has 6% of its values


def test_the_same_seed_proposes_the_same_trials() -> None:
    definition = read(flags={"ranges": {"lr": {"min": 0.1, "max": 0.9}}, "seed": 3})

    def proposed(number: int) -> dict[str, Any]:
        study = optuna.create_study(sampler=search.sampler(definition, number))
        return study.ask(search.distributions(definition)).params

    assert proposed(0) == proposed(0)
    assert proposed(0) != proposed(1)


@pytest.mark.parametrize(
    ("goal", "value", "stops"),
    [
        ("minimize", 0.61, True),
        ("minimize", 0.59, False),
        ("maximize", 0.59, True),
        ("maximize", 0.61, False),
        ("maximize", float("nan"), True),
    ],
)
def test_early_stopping_is_by_the_median_of_running_averages(
    goal: Any, value: float, stops: bool
) -> None:
    study = optuna.create_study(direction=goal)
    for curve in ([0.9, 0.3], [0.8, 0.4], [0.2, 0.4]):  # averages 0.6, 0.6, 0.3
        other = study.ask()
        for epoch, number in enumerate(curve, start=1):
            other.report(number, epoch)
        study.tell(other, curve[-1])
    present = study.ask()
    present.report(0.0 if goal == "minimize" else 1.0, 1)
    assert not search.MedianOfAverages().prune(study, study.trials[-1])
    present.report(value, 2)
    assert search.MedianOfAverages().prune(study, study.trials[-1]) is stops
