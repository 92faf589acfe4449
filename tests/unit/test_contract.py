"""Paths of the contract, its JSON files and the failure file."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoc import contract


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "input" / "config").mkdir(parents=True)
    return tmp_path


def test_the_variable_is_read_when_a_path_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(contract.BASE_DIR_VARIABLE, raising=False)
    assert contract.base_dir() == Path("/opt/ml")
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    assert contract.model_dir() == tmp_path / "model"
    assert contract.channel_dir("train") == tmp_path / "input" / "data" / "train"
    assert contract.output_data_dir() == tmp_path / "output" / "data"


def test_a_missing_config_is_the_default(tree: Path) -> None:
    assert contract.read_config("hyperparameters.json", default={}) == {}


def test_a_broken_config_is_named(tree: Path) -> None:
    (tree / "input" / "config" / "hyperparameters.json").write_text("{")
    with pytest.raises(ValueError, match=r"hyperparameters\.json is not valid JSON"):
        contract.read_config("hyperparameters.json")


def test_checkpoints_lie_where_their_config_says(tree: Path) -> None:
    assert contract.checkpoints_dir() == tree / "checkpoints"
    (tree / "input" / "config" / "checkpointconfig.json").write_text('{"LocalPath": "/x/y"}')
    assert contract.checkpoints_dir() == Path("/x/y")


def test_the_failure_file_is_written_whatever_the_text(tree: Path) -> None:
    contract.write_failure("cause \udcff")
    assert (tree / "output" / "failure").read_text() == "cause \\udcff"


def test_a_failure_file_that_cannot_be_written_does_not_raise(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "output").write_text("a file where a folder should be")
    contract.write_failure("cause")
    assert "cannot write" in capsys.readouterr().out
