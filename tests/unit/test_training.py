"""A whole training in this process, on a few hundred rows."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from byoc import contract
from byoc.corpus import write_corpus
from byoc.metric_lines import METRICS, read_metrics
from byoc.training.config import TrainingConfig
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.fit import train
from byoc.training.place import Place
from byoc.training.prepare import prepare
from byoc.training.sources import read_splits
from byoc.training.stopping import StopRequest

CONFIG = TrainingConfig(
    epochs=2, lr=1e-3, model_name_or_path="scratch", max_length=32, batch_size=64
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So tiny a model gains nothing from a second thread, and waits for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    write_corpus(tmp_path / "input" / "data", size=600)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, float]]]:
    """A tree after training, and the metrics."""
    root = tmp_path_factory.mktemp("trained")
    write_corpus(root / "input" / "data", size=600)
    before = os.environ.get(contract.BASE_DIR_VARIABLE)
    os.environ[contract.BASE_DIR_VARIABLE] = str(root)
    try:
        yield root, run()
    finally:
        os.environ.pop(contract.BASE_DIR_VARIABLE)
        if before is not None:
            os.environ[contract.BASE_DIR_VARIABLE] = before


def run(config: TrainingConfig = CONFIG, stop: StopRequest | None = None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(config, read_splits(config), Path(folder))
        return train(prepared, stop or StopRequest(), Place())


def test_the_artifact_is_whole_and_holds_no_pickle(
    trained: tuple[Path, dict[str, float]],
) -> None:
    root, metrics = trained
    names = {path.name for path in (root / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".ckpt"))]
    assert not [path for path in (root / "model").rglob("*") if path.is_symlink()]
    assert json.loads((root / "model" / "metrics.json").read_text()) == metrics
    assert json.loads((root / "output" / "data" / "metrics.json").read_text()) == metrics
    assert set(METRICS) <= set(metrics)


def test_the_saved_model_gives_the_reported_metrics(
    trained: tuple[Path, dict[str, float]],
) -> None:
    root, metrics = trained
    tokenizer = AutoTokenizer.from_pretrained(root / "model")
    model = AutoModelForSequenceClassification.from_pretrained(root / "model").eval()
    assert model.config.id2label == {0: "0", 1: "1"}
    splits = read_splits(CONFIG)
    rows = list(splits.examples("validation"))
    labels = [splits.labels[row.label] for row in rows]
    batch = tokenizer([row.text for row in rows], padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits.argmax(-1)
    right = sum(str(guess) == label for guess, label in zip(found.tolist(), labels, strict=True))
    assert right / len(labels) == pytest.approx(metrics["val_accuracy"])


def test_predictions_stand_in_the_order_of_the_rows(
    trained: tuple[Path, dict[str, float]],
) -> None:
    root, metrics = trained
    with (root / "output" / "data" / "validation_predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    splits = read_splits(CONFIG)
    examples = list(splits.examples("validation"))
    assert [row["text"] for row in rows] == [example.text for example in examples]
    assert [row["label"] for row in rows] == [splits.names[row.label] for row in examples]
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / len(rows) == pytest.approx(metrics["val_accuracy"])


def test_the_same_seed_gives_the_same_metrics(
    trained: tuple[Path, dict[str, float]], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == trained[1]
    found = read_metrics(capsys.readouterr().out)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(METRICS, 2)


def test_another_seed_gives_other_metrics(
    trained: tuple[Path, dict[str, float]], tree: Path
) -> None:
    assert run(replace(CONFIG, seed=1))["val_loss"] != trained[1]["val_loss"]


def test_gradients_clipped_to_nothing_train_nothing(tree: Path) -> None:
    """Far below AdamW's eps, which else makes up for any scale."""
    still = replace(CONFIG, epochs=1, weight_decay=0.0)
    clipped = run(replace(still, gradient_clip=1e-13))["val_loss"]
    untrained = run(replace(still, lr=1e-9))["val_loss"]
    assert clipped == pytest.approx(untrained, abs=1e-4)
    assert run(still)["val_loss"] != pytest.approx(untrained, abs=1e-3)


def test_training_goes_on_from_the_model_channel(
    trained: tuple[Path, dict[str, float]], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channel = contract.channel_dir("model")
    channel.mkdir()
    for path in (trained[0] / "model").iterdir():
        (channel / path.name).write_bytes(path.read_bytes())
    # The channel wins over the name, which could not be fetched.
    run(replace(CONFIG, model_name_or_path="nobody/nothing", epochs=1))
    assert f"training {channel}" in capsys.readouterr().out


def test_no_validation_channel_splits_train_and_a_test_channel_is_scored(tree: Path) -> None:
    contract.channel_dir("validation").rename(contract.channel_dir("test"))
    config = replace(CONFIG, epochs=1, label_names=("bad", "good"))
    assert read_splits(config).sizes["validation"] == 54
    metrics = run(config)
    assert {"val_mcc", "test_mcc", "test_loss"} <= set(metrics)
    assert (tree / "output" / "data" / "test_predictions.csv").is_file()
    labels = json.loads((tree / "model" / "config.json").read_text())["id2label"]
    assert labels == {"0": "bad", "1": "good"}


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", min), ("val_mcc", max)])
def test_the_best_epoch_is_kept_and_patience_ends_training(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monitor: str,
    best: Callable[[list[float]], float],
) -> None:
    """And a job that was stopped knows how long there was no gain."""
    config = replace(CONFIG, epochs=30, lr=0.05, early_stopping_patience=2, monitor=monitor)
    metrics = run(config)
    values = read_metrics(capsys.readouterr().out)[monitor]
    assert 3 <= len(values) < 30
    assert metrics["epoch"] == values.index(best(values)) + 1 == len(values) - 2
    assert metrics[monitor] == pytest.approx(best(values), rel=1e-4)
    with pytest.raises(StoppedError):
        run(config, WhenPrinted(capsys, f"epoch={len(values) - 1} "))
    capsys.readouterr()
    assert run(config) == metrics
    said = capsys.readouterr().out
    assert len(read_metrics(said)[monitor]) == 1
    assert f"no better {monitor} for 2 epochs" in said


class AfterSteps(StopRequest):
    """Asked for after so many looks; the loop looks once before its first step."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def requested(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    @requested.setter
    def requested(self, _value: bool) -> None:
        return


class WhenPrinted(StopRequest):
    """Asked for when a text has been printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], text: str) -> None:
        super().__init__()
        self._capsys, self._text, self._printed = capsys, text, ""

    @property
    def requested(self) -> bool:
        self._printed += self._capsys.readouterr().out
        return self._text in self._printed

    @requested.setter
    def requested(self, _value: bool) -> None:
        return


class WhenScoring(StopRequest):
    """Asked for when the best weights are being scored: nothing else calls ``check``."""

    def check(self) -> None:
        self.requested = True
        super().check()


def test_a_stop_while_the_best_weights_are_scored_leaves_that_to_the_next_run(
    trained: tuple[Path, dict[str, float]], tree: Path
) -> None:
    (tree / "checkpoints").mkdir()
    with pytest.raises(StoppedError):
        run(stop=WhenScoring())
    predictions = Path("output", "data", "validation_predictions.csv")
    assert (tree / "model" / "model.safetensors").is_file()
    assert json.loads((tree / "model" / "metrics.json").read_text()) == trained[1]
    assert not (tree / predictions).exists()
    assert run() == trained[1]
    assert (tree / predictions).read_text() == (trained[0] / predictions).read_text()


def test_a_stop_before_the_first_epoch_ends_saves_model_and_state(tree: Path) -> None:
    with pytest.raises(StoppedError):
        run(stop=AfterSteps(4))
    assert (tree / "model" / "model.safetensors").is_file()
    assert [path.name for path in (tree / "checkpoints").iterdir()] == [
        "checkpoint-000000004.safetensors"
    ]


def test_a_stop_before_the_first_step_leaves_no_untrained_model(tree: Path) -> None:
    with pytest.raises(StoppedError):
        run(stop=AfterSteps(0))
    assert not (tree / "model").exists()


def test_a_stop_before_training_ends_at_once(tree: Path) -> None:
    stop = StopRequest()
    with pytest.raises(StoppedError):
        stop()


@pytest.mark.parametrize("looks", [1, 3, 9, 10, 11, 12, 15])
def test_a_stopped_job_goes_on_as_if_nothing_had_been(
    trained: tuple[Path, dict[str, float]], tree: Path, looks: int
) -> None:
    """Nine steps and some batches of validation to an epoch: stops in all of them."""
    with pytest.raises(StoppedError):
        run(stop=AfterSteps(looks))
    assert run() == trained[1]
    weights = [root / "model" / "model.safetensors" for root in (trained[0], tree)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_accumulation_steps": 2},
        {"lora_rank": 4, "lora_alpha": 8.0},
        {"dropout": 0.2, "label_smoothing": 0.1, "class_weights": "balanced"},
        {"precision": "bf16"},
        {"gradient_checkpointing": True, "layer_lr_decay": 0.8},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_option_goes_on_from_a_checkpoint(
    trained: tuple[Path, dict[str, float]], tree: Path, changes: dict[str, Any]
) -> None:
    # A pretrained encoder, for adapters to adapt.
    contract.channel_dir("model").symlink_to(trained[0] / "model")
    config = replace(CONFIG, **changes)
    whole = run(config)
    shutil.rmtree(tree / "checkpoints", ignore_errors=True)
    with pytest.raises(StoppedError):
        run(config, AfterSteps(5))
    assert run(config) == whole


def test_an_unwritable_model_folder_is_a_fault(tree: Path) -> None:
    (tree / "model").write_text("a file where a folder should be")
    with pytest.raises(TrainingFault, match="cannot write the model to"):
        run(replace(CONFIG, epochs=1))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "there is no config.json in it"),
        ({"config.json": "{"}, "is not valid JSON"),
        ({"config.json": "{}", "pytorch_model.bin": "x"}, "has no .safetensors weights"),
        ({"config.json": "{}", "model.safetensors": "x"}, "cannot load the model"),
    ],
)
def test_a_broken_model_channel_is_named(tree: Path, files: dict[str, str], told: str) -> None:
    channel = contract.channel_dir("model")
    channel.mkdir()
    for name, content in files.items():
        (channel / name).write_text(content)
    with pytest.raises(TrainingFault, match=told):
        run()


def test_label_names_must_be_as_many_as_the_labels(tree: Path) -> None:
    with pytest.raises(TrainingFault, match="label-names has 3 names, but channel train has 2"):
        read_splits(replace(CONFIG, label_names=("a", "b", "c")))


def test_raw_cola_names_its_labels(tree: Path) -> None:
    for name in ("train", "validation"):
        folder = contract.channel_dir(name)
        (folder / f"{name}.tsv").write_text(
            "x\t1\t\tBirds fly.\nx\t0\t*\tFly birds the.\nx\t1\t\tHi"
        )
    assert read_splits(CONFIG).names == ["unacceptable", "acceptable"]


def test_pipe_mode_is_refused(tree: Path) -> None:
    (tree / "input" / "config").mkdir()
    (tree / "input" / "config" / "inputdataconfig.json").write_text(
        '{"train": {"TrainingInputMode": "Pipe"}}'
    )
    with pytest.raises(TrainingFault, match="channel train is in Pipe mode"):
        read_splits(CONFIG)


def test_a_validation_channel_that_is_declared_but_missing_is_a_fault(tree: Path) -> None:
    (tree / "input" / "config").mkdir()
    (tree / "input" / "config" / "inputdataconfig.json").write_text('{"train": {}, "test": {}}')
    with pytest.raises(TrainingFault, match="channel test is missing"):
        read_splits(CONFIG)
