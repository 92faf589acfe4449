"""Hyperparameters to configuration."""

from __future__ import annotations

import pytest

from byoc.training.config import (
    HYPERPARAMETERS,
    TrainingConfig,
    as_hyperparameters,
    parse_hyperparameters,
)
from byoc.training.faults import TrainingFault


def test_nothing_given_is_the_default() -> None:
    assert parse_hyperparameters({}) == TrainingConfig()


def test_every_field_has_a_hyperparameter_and_the_reverse() -> None:
    fields = {name.replace("_", "-") for name in TrainingConfig.__dataclass_fields__}
    assert fields == set(HYPERPARAMETERS)


@pytest.mark.parametrize("value", ["3", '"3"', "3.0", 3, " 3 "])
def test_a_number_may_come_plain_quoted_or_as_a_number(value: object) -> None:
    assert parse_hyperparameters({"epochs": value}).epochs == 3


def test_text_may_come_quoted() -> None:
    assert parse_hyperparameters({"text-column": '"my text"'}).text_column == "my text"


def test_the_platform_s_own_names_never_reach_the_config() -> None:
    raw = {"sagemaker_program": "x.py", "_tuning_objective_metric": "val_mcc", "lr": "1e-4"}
    assert parse_hyperparameters(raw) == TrainingConfig(lr=1e-4)


def test_the_preset_of_the_first_use() -> None:
    config = parse_hyperparameters({"preset": "first-use"})
    found = (config.epochs, config.batch_size, config.lr, config.eps, config.max_length)
    assert found == (8, 64, 1.557e-4, 1e-8, 256)


def test_what_is_given_by_name_wins_over_the_preset() -> None:
    config = parse_hyperparameters({"preset": "first-use", "epochs": "2"})
    assert (config.epochs, config.batch_size) == (2, 64)


def test_all_faults_stand_in_one_line() -> None:
    with pytest.raises(TrainingFault) as caught:
        parse_hyperparameters({"epochs": "many", "lr": "-1", "batchsize": "3", "monitor": "acc"})
    cause = str(caught.value)
    assert "\n" not in cause
    assert "epochs='many'" in cause
    assert "lr='-1' is not allowed: a number above 0" in cause
    assert "did you mean batch-size?" in cause
    assert "one of val_mcc, val_loss" in cause


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "0"),
        ("epochs", "2.5"),
        ("epochs", "1e400"),
        ("epochs", None),
        ("lr", "nan"),
        ("lr", "inf"),
        ("eps", "0"),
        ("seed", "-1"),
        ("warmup-ratio", "1"),
        ("precision", "8"),
        ("text-column", " "),
        ("label-names", "one"),
        ("label-names", "same,same"),
        ("validation-fraction", "0"),
        ("preset", "best"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(TrainingFault, match=f"{name}="):
        parse_hyperparameters({name: value})


def test_an_unknown_name_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(TrainingFault, match="known are epochs, batch-size"):
        parse_hyperparameters({"zzz": "1"})


def test_a_config_survives_the_way_there_and_back() -> None:
    config = parse_hyperparameters({"label-names": "bad,good", "lr": "3e-5"})
    assert parse_hyperparameters(as_hyperparameters(config)) == config
