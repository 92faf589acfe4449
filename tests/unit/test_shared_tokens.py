"""Jobs with the same data tokenize them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoc import contract
from byoc.training import prepare
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.sources import read_splits
from train_program import write_tree

CONFIG = TrainingConfig(model_name_or_path="scratch", max_length=16)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(write_tree(tmp_path / "tree")))
    monkeypatch.setenv(contract.TOKENS_DIR_VARIABLE, str(tmp_path / "shared"))
    return tmp_path / "shared"


def made(shared: Path) -> int:
    return len([path for path in shared.iterdir() if path.is_dir()])


def test_the_second_job_finds_the_firsts_tokens(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = read_splits(CONFIG)
    alone, first, second = (tmp_path / name for name in ("alone", "first", "second"))
    for folder in (alone, first, second):
        folder.mkdir()
    one = prepare.prepare(CONFIG, splits, first)
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "_tokenize", None)
        two = prepare.prepare(CONFIG, splits, second)
    monkeypatch.delenv(contract.TOKENS_DIR_VARIABLE)
    three = prepare.prepare(CONFIG, splits, alone)
    assert made(shared) == 1
    assert one.length == two.length == three.length == 16
    for other in (two, three):
        for split, tokens in other.tokens().items():
            rows = range(len(tokens))
            assert [[*tokens.ids(row)] for row in rows] == [
                [*one.tokens()[split].ids(row)] for row in rows
            ]
        assert other.tokenizer().get_vocab() == one.tokenizer().get_vocab()


def test_other_data_and_other_lengths_are_not_mixed_up(shared: Path, tmp_path: Path) -> None:
    for number, length in enumerate((16, 8, 16)):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number == 2:
            write_rows = contract.channel_dir("train") / "train.tsv"
            write_rows.write_text(write_rows.read_text() + "One more.\t1\n")
        config = TrainingConfig(model_name_or_path="scratch", max_length=length)
        prepared = prepare.prepare(config, read_splits(config), folder)
        assert max(prepared.tokens()["train"].lengths) <= length
        assert made(shared) == number + 1


def test_a_folder_that_cannot_be_used_is_one_line(shared: Path, tmp_path: Path) -> None:
    shared.write_text("a file")
    with pytest.raises(TrainingFault, match="cannot share tokenized rows in"):
        prepare.prepare(CONFIG, read_splits(CONFIG), tmp_path)
