"""A job's splits: which channels are read, how they are counted, what identifies them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from byoc import contract
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.sources import Example, read_splits

CONFIG = TrainingConfig()
ROWS = [("a", "no"), ("b", "yes"), ("c", "yes"), ("d", "no"), ("e", "maybe"), ("f", "maybe")]


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "input/config").mkdir(parents=True)
    write_channel("train", ROWS)
    return tmp_path


def write_channel(name: str, rows: list[tuple[str, str]]) -> None:
    folder = contract.channel_dir(name)
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{text}\t{label}\n" for text, label in rows)
    (folder / "a.tsv").write_text(f"sentence\tlabel\n{lines}")


def write_config(name: str, content: Any) -> None:
    contract.config_file(name).write_text(json.dumps(content))


def test_splits_number_the_labels_of_train() -> None:
    write_channel("validation", ROWS[:2])
    write_channel("test", ROWS[4:5])
    splits = read_splits(CONFIG)
    assert splits.labels == splits.names == ["maybe", "no", "yes"]
    assert splits.sizes == {"train": 6, "validation": 2, "test": 1}
    assert splits.counts == {"train": [2, 2, 2], "validation": [0, 1, 1], "test": [1, 0, 0]}
    assert list(splits.examples("validation")) == [Example("a", None, 1), Example("b", None, 2)]
    assert list(splits.texts("test")) == ["e"]


def test_without_a_validation_channel_train_is_parted() -> None:
    splits = read_splits(CONFIG)
    assert splits.sizes == {"train": 3, "validation": 3}
    assert splits.counts == {"train": [1, 1, 1], "validation": [1, 1, 1]}
    assert sorted([*splits.texts("train"), *splits.texts("validation")]) == [*"abcdef"]
    again = read_splits(CONFIG)
    assert list(again.examples("train")) == list(splits.examples("train"))


def test_texts_to_learn_words_from_are_those_of_pairs_too() -> None:
    folder = contract.channel_dir("train")
    (folder / "a.tsv").write_text("one\ttwo\tlabel\n" + "a\tb\t0\nc\td\t1\n" * 2)
    splits = read_splits(replace(CONFIG, text_column="one", text_pair_column="two"))
    assert sorted([*splits.texts("train"), *splits.texts("validation")]) == [*"aabbccdd"]


def test_the_fingerprint_is_that_of_the_rows() -> None:
    found = {"as it was": read_splits(CONFIG).fingerprint}
    assert read_splits(replace(CONFIG, lr=1e-3, epochs=9)).fingerprint == found["as it was"]
    found["another part for validation"] = read_splits(replace(CONFIG, seed=1)).fingerprint
    write_channel("validation", ROWS[:2])
    found["a validation channel"] = read_splits(CONFIG).fingerprint
    write_channel("validation", ROWS[1::-1])
    found["another order"] = read_splits(CONFIG).fingerprint
    write_channel("validation", [("a", "yes"), ("b", "no")])
    found["other labels"] = read_splits(CONFIG).fingerprint
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("content", [{}, {"train": {}}, {"train": None}, None])
def test_inputdataconfig_may_say_little(content: Any) -> None:
    write_config("inputdataconfig.json", content)
    assert read_splits(CONFIG).sizes["train"] == 3


def test_inputdataconfig_that_is_no_object_is_a_fault() -> None:
    write_config("inputdataconfig.json", ["train"])
    with pytest.raises(TrainingFault, match=r"inputdataconfig.json is not a JSON object"):
        read_splits(CONFIG)


def test_parts_of_a_channel_on_each_host_are_refused() -> None:
    write_config("inputdataconfig.json", {"train": {"S3DistributionType": "ShardedByS3Key"}})
    assert read_splits(CONFIG).sizes["train"] == 3, "one host has all of it"
    write_config("resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    with pytest.raises(TrainingFault, match=r"channel train is ShardedByS3Key .* FullyReplicated"):
        read_splits(CONFIG)
    write_config("inputdataconfig.json", {"notes": {"S3DistributionType": "ShardedByS3Key"}})
    assert read_splits(CONFIG).sizes["train"] == 3, "a channel that is not read may be anything"
