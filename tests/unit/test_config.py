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
        ("dropout", "1"),
        ("dropout", "-0.1"),
        ("label-smoothing", "1"),
        ("class-weights", "even"),
        ("layer-lr-decay", "0"),
        ("layer-lr-decay", "1.1"),
        ("gradient-accumulation-steps", "0"),
        ("compile", "maybe"),
        ("compile", ""),
        ("lora-rank", "-1"),
        ("lora-alpha", "0"),
        ("checkpoint-seconds", "-1"),
        ("checkpoint-keep", "0"),
        ("processes-per-host", "1.5"),
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


def test_the_defaults_survive_the_way_there_and_back() -> None:
    assert parse_hyperparameters(as_hyperparameters(TrainingConfig())) == TrainingConfig()


@pytest.mark.parametrize("text", ["true", "True", "1", "YES", True])
def test_true_is_read_in_any_case(text: object) -> None:
    assert parse_hyperparameters({"compile": text}).compile is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "no", False])
def test_false_is_read_in_any_case(text: object) -> None:
    assert parse_hyperparameters({"gradient-checkpointing": text}).gradient_checkpointing is False


@pytest.mark.parametrize(
    ("text", "value"),
    [("16-mixed", "16"), ("bf16-mixed", "bf16"), ("16", "16"), ("bf16", "bf16"), (32, "32")],
)
def test_precision_has_older_spellings(text: object, value: str) -> None:
    assert parse_hyperparameters({"precision": text}).precision == value


def test_an_empty_dropout_is_the_model_s_own() -> None:
    assert parse_hyperparameters({"dropout": ""}).dropout is None
    assert parse_hyperparameters({"dropout": "0"}).dropout == 0.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lora-alpha": "32"}, "lora-alpha does nothing without lora-rank"),
        ({"lora-rank": "8", "model-name-or-path": "scratch"}, "scratch is none"),
        ({"gradient-accumulation-steps": "33"}, "batch-size=32 cannot be cut into 33 parts"),
        ({"gradient-accumulation-steps": "8", "processes-per-host": "8"}, "into 64 parts"),
        ({"text-column": "label"}, "text-column and label-column are both 'label'"),
        ({"text-pair-column": "sentence"}, "text-column and text-pair-column are both 'sentence'"),
    ],
)
def test_contradictions_are_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(TrainingFault, match=told):
        parse_hyperparameters(given)


def test_contradictions_stand_beside_the_other_faults() -> None:
    with pytest.raises(TrainingFault) as caught:
        parse_hyperparameters({"epochs": "0", "text_column": "a", "lora-alpha": "32"})
    cause = str(caught.value)
    assert "epochs='0'" in cause
    assert "text_column is unknown: did you mean text-column?" in cause
    assert "lora-alpha does nothing" in cause


def test_what_is_bad_alone_contradicts_nothing() -> None:
    with pytest.raises(TrainingFault) as caught:
        parse_hyperparameters({"batch-size": "many", "gradient-accumulation-steps": "64"})
    assert "cannot be cut" not in str(caught.value)
