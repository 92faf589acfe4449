"""What DATA and MODEL mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoc.corpus import EMBEDDED_HYPERPARAMETERS
from byoc.launch import data
from byoc.launch.errors import LaunchError

TABLE = "sentence\tlabel\nfine\t1\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def _write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TABLE)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("in_domain_train.tsv", "train"),
        ("in_domain_dev.tsv", "validation"),
        ("val.csv", "validation"),
        ("Validation-2.jsonl", "validation"),
        ("train-00000-of-00001.parquet", "train"),
        ("test.tsv", "test"),
        ("latest.tsv", None),
        ("trainer.tsv", None),
    ],
)
def test_channel_of(name: str, channel: str | None) -> None:
    assert data.channel_of(Path(name)) == channel


def test_files_become_channels(source: Path, tmp_path: Path) -> None:
    _write(source / "my_train.tsv", source / "my_dev.tsv", source / "README.md")
    channels = data.local_channels(source, tmp_path / "w")
    assert set(channels) == {"train", "validation"}
    assert [path.name for path in channels["train"].rglob("*.*")] == ["my_train.tsv"]


def test_folders_become_channels_as_they_are(source: Path, tmp_path: Path) -> None:
    _write(source / "train" / "a.tsv", source / "validation" / "b.tsv", source / "other" / "c.tsv")
    channels = data.local_channels(source, tmp_path / "w")
    assert channels == {"train": source / "train", "validation": source / "validation"}


def test_several_files_of_one_channel_lie_together(source: Path, tmp_path: Path) -> None:
    _write(source / "train-1.tsv", source / "train-2.tsv")
    folder = data.local_channels(source, tmp_path / "w")["train"]
    names = sorted(path.name for path in folder.rglob("*.tsv"))
    assert names == ["train-1.tsv", "train-2.tsv"]


def test_a_single_file_is_the_train_channel(source: Path, tmp_path: Path) -> None:
    _write(source / "table.tsv")
    assert set(data.local_channels(source / "table.tsv", tmp_path / "w")) == {"train"}


def test_no_training_data_is_said(source: Path, tmp_path: Path) -> None:
    _write(source / "dev.tsv")
    with pytest.raises(LaunchError, match="holds no training data"):
        data.local_channels(source, tmp_path / "w")
    with pytest.raises(LaunchError, match=r"there is no folder or file .*nowhere"):
        data.local_channels(tmp_path / "nowhere", tmp_path / "w")


def test_nothing_means_the_embedded_corpus(tmp_path: Path) -> None:
    prepared = data.prepare(None, None, tmp_path / "w", scratch=False)
    assert prepared.hyperparameters == EMBEDDED_HYPERPARAMETERS
    assert (prepared.channels["train"] / "train.tsv").is_file()
    assert (prepared.channels["validation"] / "validation.tsv").is_file()


def test_a_model_folder_becomes_the_model_channel(source: Path, tmp_path: Path) -> None:
    _write(source / "train.tsv")
    model = tmp_path / "encoder"
    model.mkdir()
    with pytest.raises(LaunchError, match=r"no config\.json"):
        data.prepare(str(source), str(model), tmp_path / "w", scratch=False)
    (model / "config.json").write_text("{}")
    prepared = data.prepare(str(source), str(model), tmp_path / "w", scratch=False)
    assert prepared.channels["model"] == model
    assert prepared.hyperparameters["lr"] == "5e-5"


def test_from_scratch_needs_no_model(source: Path, tmp_path: Path) -> None:
    _write(source / "train.tsv")
    assert "model" not in data.prepare(str(source), None, tmp_path / "w", scratch=True).channels


@pytest.mark.parametrize(("given", "model"), [("cola", None), (None, "some-encoder")])
def test_no_hub_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, model: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(
        LaunchError, match=r"must come from the Hub, but .* does not answer"
    ) as told:
        data.prepare(given, model, tmp_path / "w", scratch=False)
    assert "\n" not in str(told.value)
