"""`byoc tune` on this machine with the real `train`, the embedded corpus and the tiny model."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from tunings import BYOC, LONG, statuses

from byoc import cli
from byoc.corpus import write_corpus
from byoc.launch.state import Record
from byoc.launch.supervised import JOBS
from byoc.tuning import here, study_results
from byoc.tuning.results import TuningResult

STATE = Path("state")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYOC_STATE_DIR", str(tmp_path / STATE))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def result() -> TuningResult:
    return study_results.read(here.find(Path("out/tune/t"), "t", None))


def tokenized() -> list[Path]:
    return [path for path in Path("out/tune/t/tokens").iterdir() if path.is_dir()]


def test_trials_are_judged_by_the_model_that_they_keep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two at a time; their rows are tokenized once, and the best one's settings train again."""
    write_corpus(tmp_path / "corpus", size=200)
    tiny = ["-Hmodel-name-or-path=scratch", "-Hepochs=3", "-Hseed=1", "-Hmax-length=16"]
    data = ["--train", "corpus/train", "--validation", "corpus/validation"]
    command = ["tune", "--name", "t", "--preset", "cola-mcc", "--max-jobs", "2", *data, *tiny]
    assert cli.run([*command, "--range", "lr=1e-3:1e-2:Logarithmic"]) == 0
    found = result()
    assert statuses(found) == ["Completed"] * 2
    assert len(tokenized()) == 1
    for trial in found.trials:
        with tarfile.open(trial.artifact.removeprefix("file://")) as tar:
            kept = json.load(tar.extractfile("metrics.json"))  # type: ignore[arg-type]
        assert trial.value == pytest.approx(kept["val_mcc"], abs=1e-5)
        assert sorted(trial.curve) == [1, 2, 3]
        assert trial.value == pytest.approx(max(trial.curve.values()))
        assert {"val_loss", "train_loss"} <= trial.metrics.keys()
        assert sorted(trial.metrics["val_loss"]) == [1, 2, 3]
    capsys.readouterr()
    best = ["--hyperparameters", "out/tune/t/best.json"]
    assert cli.run(["train", "--train", "corpus/train", *best, "--print-request"]) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["HyperParameters"] == {**found.fixed, **(found.best or trial).values}


@pytest.mark.skipif(not LONG, reason="a training of its own: make test-tuning")
def test_a_setting_that_cannot_matter_is_told_of_before_the_first_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first use's preset; the data are tokenized in that look, and not again by the trial."""
    write_corpus(tmp_path / "corpus", size=200)
    tiny = ["-Hmodel-name-or-path=scratch", "-Hepochs=1", "--range", "max-length=256,128"]
    command = ["tune", "--name", "t", "--preset", "cola", "--max-jobs", "1", "--max-parallel", "1"]
    assert cli.run([*command, "--train", "corpus/train", *tiny]) == 0
    out, err = capsys.readouterr()
    said = re.search(
        r"max-length 256 and 128 give the same model: the longest input has (\d+)", err
    )
    assert said is not None
    assert 5 < int(said[1]) < 40
    assert "1 of 1 trials" in out
    (trial,) = result().trials
    assert len(tokenized()) == (1 if trial.values["max-length"] == "256" else 2)


@pytest.mark.skipif(not LONG, reason="a training of its own: make test-tuning")
def test_the_best_trial_is_debugged_and_its_report_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--then-train --debug to the end: tensors and rules are there, and the report can be made."""
    write_corpus(tmp_path / "corpus", size=200)
    data = ["--train", "corpus/train", "--validation", "corpus/validation", "-Hmax-length=16"]
    tiny = ["-Hmodel-name-or-path=scratch", "-Hepochs=1", "--range", "lr=1e-3:1e-2:Logarithmic"]
    command = ["tune", "--name", "t", "--max-jobs", "1", *data, *tiny, "--then-train", "--debug"]
    assert cli.run(command) == 0
    found = re.search(r"final model: file://(\S+)/model.tar.gz", capsys.readouterr().out)
    assert found is not None
    with tarfile.open(Path(found[1]) / "output.tar.gz") as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    assert {"data/debugger/facts.json", "data/debugger/rules.json"} <= names
    assert any(name.endswith(".tfevents") for name in names)
    assert cli.run(["debug", "report", found[1], "--output", "report"]) == 0
    report = json.loads(Path("report/report.json").read_text())
    best = result().best
    assert best is not None
    assert report["job"]["hyperparameters"]["lr"] == best.values["lr"]


@pytest.mark.skipif(not LONG, reason="six trainings take minutes: make test-tuning")
@pytest.mark.parametrize("preset", ["cola", "cola-mcc"])
def test_six_trials_of_a_preset_outlive_a_sigkill(preset: str) -> None:
    """The whole embedded corpus, two trials at a time; killed while two of them train."""
    command = ["tune", "--name", "t", "--preset", preset, "--max-jobs", "6", "-Hepochs=3"]
    with subprocess.Popen([BYOC, *command]) as tuning:
        _wait_until_two_train_and_one_has_ended()
        tuning.kill()
    before = result()
    assert cli.run(command) == 0
    after = result()
    assert after.status == "Completed"
    assert set(statuses(after)) <= {"Completed", "Pruned"}
    assert [trial.job for trial in after.trials] == [f"t-{number:04d}" for number in range(6)]
    assert all(sorted(it.curve) == [1, 2, 3] for it in after.trials if it.status == "Completed")
    # What had been proposed is what was trained, and each job has had one process.
    for old, new in zip(before.trials, after.trials, strict=False):
        assert old.values == new.values
    jobs = [path.name for path in (STATE / JOBS).iterdir() if "-data-" not in path.name]
    assert sorted(jobs) == [trial.job for trial in after.trials]
    for job in jobs:
        assert (
            Record(STATE / JOBS / job).log.read_text().count("epoch=1 ") <= 2
        )  # one is the best's
    lengths = {trial.values.get("max-length", "") for trial in after.trials}
    assert len(tokenized()) == len(lengths | ({"256"} if preset == "cola" else set()))


def _wait_until_two_train_and_one_has_ended() -> None:
    deadline = time.monotonic() + 300
    while True:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        try:
            found = [trial.status for trial in result().trials]
        except Exception:  # there is no study yet
            continue
        if found.count("InProgress") == 2 and len(found) > 2:
            return
