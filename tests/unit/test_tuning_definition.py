"""Definitions of a tuning: presets, files, flags, and what is said of those that cannot be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from byoc import cli
from byoc.launch.errors import LaunchError
from byoc.tuning import hyperparameters
from byoc.tuning.definition import Definition
from byoc.tuning.definition_file import parse, presets, range_flag, read, to_content
from byoc.tuning.objective import Curve
from byoc.tuning.ranges import Categorical, Continuous, Integer

LR = {"lr": {"min": 1e-5, "max": 1e-4}}


def test_the_presets_are_the_first_uses_ranges_and_a_better_one() -> None:
    assert set(presets()) == {"cola", "cola-mcc"}
    first, better = read("cola"), read("cola-mcc")
    assert first.ranges == (
        Continuous("lr", 2e-5, 2e-4),
        Categorical("batch-size", ("16", "32", "64")),
        Categorical("max-length", ("128", "256")),
    )
    assert (first.objective, first.direction) == ("val_loss", "Minimize")
    assert {it.name for it in better.ranges} == {"lr", "batch-size", "warmup-ratio", "weight-decay"}
    assert better.ranges[0] == Continuous("lr", 1e-5, 1e-4, "Logarithmic")
    assert (better.objective, better.direction) == ("val_mcc", "Maximize")
    for it in (first, better):
        assert hyperparameters.faults(it, {}) == []


def test_a_file_is_over_the_preset_and_flags_are_over_both(tmp_path: Path) -> None:
    file = tmp_path / "tuning.toml"
    file.write_text(
        "max-jobs = 5\nseed = 7\n[ranges]\nepochs = { min = 2, max = 8 }\n[fixed]\nlr = 3e-5\n"
    )
    found = read("cola", file, {"max-jobs": 6, "fixed": {"max-length": "64"}, "goal": None})
    assert (found.max_jobs, found.seed, found.max_parallel) == (6, 7, 2)
    assert [it.name for it in found.ranges] == ["batch-size", "epochs"]
    assert found.ranges[1] == Integer("epochs", 2, 8)
    assert found.fixed == {"monitor": "val_loss", "lr": "3e-05", "max-length": "64"}
    assert parse(to_content(found)) == (found, [])


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("lr=1e-5:1e-4:Logarithmic", Continuous("lr", 1e-5, 1e-4, "Logarithmic")),
        ("epochs=2:8", Integer("epochs", 2, 8)),
        ("batch-size=16,32", Categorical("batch-size", ("16", "32"))),
        ("debug-profile-steps=a:b,c", Categorical("debug-profile-steps", ("a:b", "c"))),
    ],
)
def test_ranges_as_flags(flag: str, expected: Any) -> None:
    name, table = range_flag(flag)
    assert read(flags={"ranges": {name: table}}).ranges == (expected,)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no-ranges": ({"ranges": {}}, "no ranges"),
    "ends": ({"ranges": {"lr": {"min": 2, "max": 1.5}}}, "min 2.0 is not below max 1.5"),
    "log": ({"ranges": {"lr": {"min": 0.0, "max": 1.0, "scaling": "Logarithmic"}}}, "above 0"),
    "reverse": (
        {"ranges": {"n": {"min": 1, "max": 9, "scaling": "ReverseLogarithmic"}}},
        "continuous ranges only",
    ),
    "reverse-end": (
        {"ranges": {"n": {"min": 0.1, "max": 1.0, "scaling": "ReverseLogarithmic"}}},
        "max < 1",
    ),
    "scaling": ({"ranges": {"n": {"min": 1, "max": 9, "scaling": "log"}}}, "scaling 'log'"),
    "form": ({"ranges": {"lr": {"min": 1, "values": [1]}}}, "needs values, a list, and no min"),
    "twice": ({"ranges": {"a": {"values": [1, 1]}}}, "stands there twice"),
    "31-values": ({"ranges": {"a": {"values": [*range(31)]}}}, "31 values"),
    "31-ranges": ({"ranges": {f"r{n}": {"min": 1, "max": 2} for n in range(31)}}, "31 ranges"),
    "both": ({"fixed": {"lr": 1}, "ranges": LR}, "both fixed and a range"),
    "objective": ({"objective": "val_bleu"}, "objective 'val_bleu' is no metric: one of val_loss"),
    "goal": ({"objective": "wer", "metrics": {"wer": "wer=(.+)"}}, "does not tell its goal"),
    "bad-goal": ({"goal": "Maximise"}, "goal 'Maximise'"),
    "41-metrics": ({"metrics": {f"m{n}": "(a)" for n in range(36)}}, "41 metrics, and 40"),
    "long-regex": ({"metrics": {"m": f"({'a' * 499})"}}, "501 characters"),
    "no-regex": ({"metrics": {"m": "(a"}}, "metric m: its expression is none"),
    "no-group": ({"metrics": {"m": "a"}}, "must have one group, and has 0"),
    "strategy": ({"strategy": "TPE"}, "strategy 'TPE' is not one of Bayesian"),
    "grid": ({"strategy": "Grid"}, "Grid takes categorical ranges only: lr"),
    "hyperband": ({"strategy": "Hyperband"}, "needs max-epochs"),
    "hyperband-stop": (
        {"strategy": "Hyperband", "max-epochs": 9, "early-stopping": "Auto"},
        "early-stopping must be Off",
    ),
    "parallel": ({"max-jobs": 2, "max-parallel": 3}, "max-parallel 3 is more than the 2"),
    "parents": ({"warm-start": ["a", "b", "c", "d", "e", "f"]}, "names 6 tunings"),
    "kind": ({"max-jobs": "many"}, "max-jobs must be a whole number"),
    "unknown": ({"max-job": 3}, "max-job is unknown: did you mean max-jobs?"),
    "100": ({"fixed": {f"h{n}": "1" for n in range(99)}}, "100 hyperparameters, and 99"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    flags, said = FAULTS[name]
    with pytest.raises(LaunchError, match="this tuning cannot be run") as found:
        read(flags={"ranges": LR, **flags})
    assert said in str(found.value)


def test_all_faults_are_named_at_once() -> None:
    flags = {"ranges": {"lr": {"min": 3, "max": 1}}, "strategy": "x", "seed": -1, "jobs": 1}
    with pytest.raises(LaunchError) as found:
        read(flags=flags)
    for said in ("jobs is unknown", "not below", "strategy 'x'", "seed must be"):
        assert said in str(found.value)


def test_what_train_would_refuse_is_said_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ranges = ["--range", "learning-rate=1e-5:1e-4", "--range", "batch-size=16,0"]
    assert cli.run(["tune", *ranges, "-H", "epochs=none", "--train", "data"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for said in ("learning-rate is unknown", "batch-size='0' is not", "epochs='none' is not"):
        assert line.count(said) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_scripts_hyperparameters_are_its_own_affair() -> None:
    found = read(flags={"ranges": {"depth": {"min": 1, "max": 2}}})
    assert hyperparameters.faults(found, {}) != []
    assert hyperparameters.faults(found, {"sagemaker_program": "train.py"}) == []


def test_the_objective_is_the_last_value_that_was_printed() -> None:
    curve = Curve(Definition(objective="val_mcc"))
    curve.read(["epoch=1 val_loss=0.5 val_mcc=0.1", "noise", "epoch=2 val_loss=0.4 val_mcc=0.3"])
    curve.read(["epoch=3 val_loss=0.6 val_mcc=0.2", "kept: epoch=2 val_loss=0.4 val_mcc=0.3"])
    assert curve.points == {1: 0.1, 2: 0.3, 3: 0.2}
    assert curve.last == 0.3


def test_values_without_an_epoch_are_counted() -> None:
    curve = Curve(Definition(objective="auc", metrics={"auc": "AUC: ([0-9.]+)?"}))
    curve.read(["AUC: 0.5", "AUC: ", "AUC: 0.7 (best)"])
    assert curve.points == {1: 0.5, 2: 0.7}
