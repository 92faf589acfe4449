"""What a job leaves: results, pictures, the model card, and a model that is whole or not there."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from byoc import contract
from byoc.training import artifact, encoder, results
from byoc.training.calibration import calibration
from byoc.training.card import card
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.history import History
from byoc.training.outcome import Outcome, Scored
from byoc.training.scratch import learn_tokenizer
from byoc.training.sources import read_splits

NAMES = ["no", "may|be", "yes"]
ROWS = [
    ('is it, "so"?', "it is", "0"),
    ("why", "who\nknows", "1"),
    ("a", "b", "2"),
    ("c", "d", "2"),
]
CONFIG = TrainingConfig(
    text_pair_column="second", label_names=tuple(NAMES), model_name_or_path="scratch"
)
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.05, 0.05, 0.9]], dtype=np.float32
)
HISTORY = History(
    [
        {"step": step, "epoch": 1 + step // 3, "train_loss": 1 / step, "lr": 1e-4}
        for step in range(1, 5)
    ],
    [
        {
            "step": 2 * epoch,
            "epoch": epoch,
            "train_loss": 0.5,
            "val_loss": 0.6,
            "val_mcc": 0.1 * epoch,
            "val_accuracy": 0.5,
            "val_f1": 0.5,
        }
        for epoch in (1, 2)
    ],
)


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    for split in ("train", "validation"):
        folder = contract.channel_dir(split)
        folder.mkdir(parents=True)
        with (folder / "rows.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("sentence", "second", "label"))
            writer.writerows(ROWS)
    splits = read_splits(CONFIG)
    scored = Scored(PROBABILITIES, np.array([0, 1, 2, 2]))
    metrics = {"val_loss": 0.5, "val_mcc": 0.6, "epoch": 2}
    return Outcome(CONFIG, "scratch", "32-true", splits, metrics, HISTORY, {"validation": scored})


@pytest.fixture
def model() -> tuple[Any, Any]:
    tokenizer = learn_tokenizer(["some words to learn from"])
    return encoder.model("scratch", CONFIG, tokenizer, NAMES), tokenizer


def written(outcome: Outcome) -> Path:
    folder = contract.output_data_dir()
    results.write(outcome, folder)
    return folder


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size``: as on a full disk, a write fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_predictions_hold_both_texts_and_each_label_s_probability(outcome: Outcome) -> None:
    rows = table(written(outcome) / "validation_predictions.csv")
    assert [(row["text"], row["text_pair"]) for row in rows] == [row[:2] for row in ROWS]
    assert [row["row"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["label"] for row in rows] == ["no", "may|be", "yes", "yes"]
    assert [row["prediction"] for row in rows] == ["no", "no", "yes", "yes"]
    assert [float(row["score"]) for row in rows] == pytest.approx([0.7, 0.6, 0.8, 0.9])
    found = [[float(row[f"probability_{name}"]) for name in NAMES] for row in rows]
    assert np.allclose(found, PROBABILITIES, atol=1e-6)


def test_the_confusion_matrix_has_the_labels_names(outcome: Outcome) -> None:
    folder = written(outcome)
    matrix = [[1, 0, 0], [1, 0, 0], [0, 0, 2]]
    found = json.loads((folder / "confusion_matrix.json").read_text())
    assert found == {"labels": NAMES, "validation": matrix}
    rows = table(folder / "validation_confusion_matrix.csv")
    assert [row["label"] for row in rows] == NAMES
    assert [[int(row[name]) for name in NAMES] for row in rows] == matrix


def test_metrics_by_step_and_epoch_stand_in_their_order(outcome: Outcome) -> None:
    lines = (written(outcome) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["step"], "val_loss" in record) for record in records] == [
        (1, False), (2, False), (2, True), (3, False), (4, False), (4, True),
    ]  # fmt: skip
    assert set(records[0]) == {"step", "epoch", "train_loss", "lr"}


def test_what_is_no_number_is_null(outcome: Outcome) -> None:
    torn = History([{"step": 1, "epoch": 1, "train_loss": float("nan"), "lr": 1e-4}])
    lines = (written(replace(outcome, history=torn)) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train_loss"] for line in lines] == [None]


def test_a_history_survives_json() -> None:
    assert History.from_json(json.loads(json.dumps(HISTORY.to_json()))) == HISTORY


def test_calibration_is_the_one_on_paper() -> None:
    """Two bins: (0, 0.5] is empty; all four rows are in (0.5, 1]."""
    found = calibration(PROBABILITIES, np.array([0, 1, 2, 2]), bins=2)
    confidence, accuracy = (0.7 + 0.6 + 0.8 + 0.9) / 4, 3 / 4
    assert found.error == pytest.approx(abs(confidence - accuracy), abs=1e-6)
    assert [found.bins[0].rows, found.bins[1].rows] == [0, 4]
    assert found.bins[1].accuracy == accuracy
    brier = (0.09 + 0.04 + 0.01) + (0.36 + 0.49 + 0.01) + (0.01 + 0.01 + 0.04) + (0.0025 * 2 + 0.01)
    assert found.brier == pytest.approx(brier / 4, abs=1e-6)


def test_perfect_and_certain_is_calibrated() -> None:
    found = calibration(np.eye(3, dtype=np.float32), np.arange(3))
    assert (found.error, found.brier, found.bins[-1].rows) == (0.0, 0.0, 3)


def test_a_bin_s_upper_edge_belongs_to_it() -> None:
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]], dtype=np.float32)
    found = calibration(probabilities, np.array([0, 0]), bins=4)
    assert [bin_.rows for bin_ in found.bins] == [0, 1, 1, 0]


def test_pictures_are_drawn(outcome: Outcome) -> None:
    folder = written(outcome)
    names = {"learning_curves.png", "validation_confusion_matrix.png", "validation_calibration.png"}
    assert {path.name for path in folder.glob("*.png")} == names
    for name in names:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_drawn_costs_no_job(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    folder = written(outcome)
    assert not list(folder.glob("*.png"))
    assert (folder / "validation_predictions.csv").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("learning_curves.png is left out: ")


def test_pictures_need_no_home_that_can_be_written_to() -> None:
    """A process of its own: matplotlib settles its folders once."""
    program = (
        "from byoc.training.history import History\n"
        "from byoc.training.pictures import _own_folder, learning_curves\n"
        "with _own_folder():\n"
        "    print(len(learning_curves(History([], []))))"
    )
    without = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**without, "HOME": "/proc/none", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 1000
    assert "matplotlib" not in done.stderr.lower()


def test_a_stopped_job_has_metrics_and_curves(outcome: Outcome) -> None:
    names = {path.name for path in written(replace(outcome, scored={})).iterdir()}
    assert names == {"metrics.json", "metrics.jsonl", "learning_curves.png"}


@pytest.mark.parametrize("size", [10, 300, 20_000])
def test_a_full_output_is_a_fault_and_leaves_no_torn_file(outcome: Outcome, size: int) -> None:
    with small_disk(size), pytest.raises(TrainingFault, match="cannot write the results to"):
        written(outcome)
    for path in contract.output_data_dir().iterdir():
        assert not path.name.startswith("."), path
        assert path.stat().st_size <= size
        if path.suffix == ".json":
            json.loads(path.read_text())


def test_the_artifact_loads_and_holds_only_plain_files(
    outcome: Outcome, model: tuple[Any, Any]
) -> None:
    folder = contract.model_dir()
    before = os.umask(0o077)
    try:
        artifact.write(*model, outcome, folder)
    finally:
        os.umask(before)
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert {"metrics.json", "training.json"} <= names
    for path in folder.rglob("*"):
        assert path.is_file()
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o777 == 0o644, path
    assert json.loads((folder / "metrics.json").read_text()) == outcome.metrics
    AutoModelForSequenceClassification.from_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)


def test_an_earlier_model_gives_way_whole(outcome: Outcome, model: tuple[Any, Any]) -> None:
    folder = contract.model_dir()
    (folder / ".writing").mkdir(parents=True)
    (folder / ".writing" / "model.safetensors").write_text("of a run that was killed")
    for name in ("config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"):
        (folder / name).write_text("old")
    artifact.write(*model, outcome, folder)
    AutoModelForSequenceClassification.from_pretrained(folder)
    assert not list(folder.glob("*00001*"))
    assert not (folder / ".writing").exists()


def test_a_full_disk_leaves_no_half_written_model(outcome: Outcome, model: tuple[Any, Any]) -> None:
    folder = contract.model_dir()
    with small_disk(100_000), pytest.raises(TrainingFault, match="cannot write the model to"):
        artifact.write(*model, outcome, folder)
    assert not list(folder.iterdir())


def test_a_failed_write_leaves_the_earlier_model(outcome: Outcome, model: tuple[Any, Any]) -> None:
    folder = contract.model_dir()
    artifact.write(*model, outcome, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with small_disk(100_000), pytest.raises(TrainingFault):
        artifact.write(*model, outcome, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_card_says_what_was_trained_on_what(outcome: Outcome) -> None:
    text = card(outcome)
    front = yaml.safe_load(text.split("---")[1])
    assert front["pipeline_tag"] == "text-classification"
    assert "base_model" not in front
    for part in (
        f"`{outcome.splits.fingerprint}`",
        "| validation | 4 | 1 (25.0%) | 1 (25.0%) | 2 (50.0%) |",
        "| val_mcc | 0.6 |",
        "| text-pair-column | second |",
        "| precision | 32-true |",
        "| torch |",
        r"| may\|be | 1 | 0 | 0 |",
    ):
        assert part in text, part


def test_the_card_of_a_hub_model_names_it(outcome: Outcome) -> None:
    source = "distilbert-base-uncased"
    text = card(replace(outcome, source=source, metrics={}, scored={}))
    assert yaml.safe_load(text.split("---")[1])["base_model"] == source
    assert "stopped before its first epoch ended" in text
