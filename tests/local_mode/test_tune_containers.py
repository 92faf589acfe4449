"""`byoc tune --where local`: trials in containers, through the SDK's local mode."""

from __future__ import annotations

import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from containers import TRAINING, containers_of, skip_without
from tunings import BYOC, LONG

from byoc import cli
from byoc.corpus import write_corpus
from byoc.tuning import here, study_results
from byoc.tuning.results import TuningResult


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without(TRAINING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYOC_STATE_DIR", str(tmp_path / "state"))
    write_corpus(tmp_path / "corpus", size=1200)


def result() -> TuningResult:
    return study_results.read(here.find(Path("out/tune/t"), "t", None))


@pytest.mark.skipif(not LONG, reason="two containers train for minutes: make test-tuning")
def test_trials_share_their_tokens_and_stop_ends_the_containers(tmp_path: Path) -> None:
    """Two at a time: one has an epoch and completes, the other would train for hours."""
    tiny = ["-Hmodel-name-or-path=scratch", "-Hmax-length=16", "-Hearly-stopping-patience=0"]
    data = ["--train", "corpus/train", "--validation", "corpus/validation"]
    grid = ["--strategy", "Grid", "--range", "epochs=1,9999", "--max-parallel", "2"]
    command = ["tune", "--where", "local", "--name", "t", *data, *grid, *tiny]
    with subprocess.Popen([BYOC, *command], stdout=subprocess.PIPE, text=True) as tuning:
        assert tuning.stdout is not None
        for line in tuning.stdout:
            if ": Completed val_mcc=" in line:
                break
        _wait_until_the_long_one_has_an_epoch()
        assert cli.run(["tune", "stop", "t"]) == 0
        tuning.communicate(timeout=120)
    assert tuning.returncode == 0
    by_epochs = {trial.values["epochs"]: trial for trial in result().trials}
    assert by_epochs["1"].status == "Completed"
    assert by_epochs["9999"].status == "Stopped"
    assert by_epochs["9999"].cause == "stopped by byoc tune stop"
    assert containers_of(tmp_path) == ""
    assert len([path for path in Path("out/tune/t/tokens").iterdir() if path.is_dir()]) == 1
    for trial in by_epochs.values():  # the stopped one keeps its best model so far
        with tarfile.open(trial.artifact.removeprefix("file://")) as model:
            assert "model.safetensors" in [name.removeprefix("./") for name in model.getnames()]


def _wait_until_the_long_one_has_an_epoch() -> None:
    deadline = time.monotonic() + 120
    while not all(trial.curve for trial in result().trials):
        assert time.monotonic() < deadline
        time.sleep(0.2)
