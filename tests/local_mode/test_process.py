"""`--where process` end to end: the real `train` and `serve` as child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byoc.corpus import write_corpus
from byoc.launch import endpoints, jobs, programs, requests
from byoc.launch.clients import make_client, make_runtime
from byoc.launch.errors import LaunchError
from byoc.launch.supervised import JOBS
from byoc.launch.uris import to_uri

BYOC = str(Path(sys.executable).with_name("byoc"))
TINY = {
    "model-name-or-path": "scratch",
    "label-names": "unacceptable,acceptable",
    "epochs": "1",
    "max-length": "16",
    "early-stopping-patience": "0",
}
HEADER = "sentence\tlabel\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process")
    write_corpus(folder / "data", seed=3, size=200)
    return folder


@pytest.fixture(autouse=True)
def _state(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOC_STATE_DIR", str(place / "state"))


def run_byoc(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BYOC, *arguments], cwd=place, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture(scope="module")
def trained(place: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A finished `byoc train`, and the folder of its artifacts."""
    os.environ["BYOC_STATE_DIR"] = str(place / "state")
    pairs = [part for name, value in TINY.items() for part in ("-H", f"{name}={value}")]
    data = ["--train", "data/train", "--validation", "data/validation/validation.tsv"]
    done = run_byoc(place, "train", *data, *pairs, "--job-name", "whole", "--output", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, place / "out" / "whole" / "output"


def test_training_shows_its_log_and_leaves_the_artifacts(
    trained: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, artifacts = trained
    assert "val_mcc=" in done.stdout
    assert f"model: file://{artifacts / 'model.tar.gz'}" in done.stdout
    with tarfile.open(artifacts / "model.tar.gz") as tar:
        assert {"config.json", "model.safetensors", "metrics.json"} <= set(tar.getnames())
    with tarfile.open(artifacts / "output.tar.gz") as tar:
        metrics = json.load(tar.extractfile("data/metrics.json"))  # type: ignore[arg-type]
    assert {"val_mcc", "val_loss"} <= set(metrics)


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_the_model_is_served_until_it_is_told_to_stop(
    trained: tuple[subprocess.CompletedProcess[str], Path], place: Path
) -> None:
    archive = str(trained[1] / "model.tar.gz")
    before = set(trained[1].iterdir())
    command = [BYOC, "serve", "--model-data", archive, "--endpoint-name", "whole"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        try:
            url = served.stdout.readline().split()[-1]
            told = run_byoc(place, "predict", "--url", url, "The keys are old.", "keys the old.")
            named = run_byoc(place, "predict", "--endpoint", "whole", "The keys are old.")
        finally:
            served.send_signal(signal.SIGINT)
    assert served.returncode == 0
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("acceptable") == 2
    assert named.returncode == 0, named.stderr
    assert set(trained[1].iterdir()) == before
    gone = run_byoc(place, "predict", "--url", url, "x")
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_a_broken_model_ends_serve_with_the_cause(place: Path) -> None:
    (place / "empty").mkdir()
    (place / "empty" / "README").write_text("no model")
    with tarfile.open(place / "broken.tar.gz", "w:gz") as tar:
        tar.add(place / "empty" / "README", "README")
    done = run_byoc(place, "serve", "--model-data", "broken.tar.gz")
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert not list((place / "state" / "endpoints").glob("*"))


def _nothing(folder: Path) -> None:
    pass


def _write(text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "train.tsv").write_bytes(text) and None


FAULTS = {
    "no-table": (_nothing, {}, "channel train holds no table"),
    "one-class": (_write(f"{HEADER}a b\t1\nc d\t1\n".encode()), {}, "one class only"),
    "empty-file": (_write(b""), {}, "empty"),
    "unknown-name": (
        _write(f"{HEADER}a b\t1\nc d\t0\n".encode()),
        {"learning-rate": "1"},
        "learning-rate is unknown",
    ),
    "no-label-column": (_write(b"sentence\tclass\na b\t1\n"), {}, "label"),
    "broken-utf8": (_write(HEADER.encode() + b"a\xff b\t1\nc d\t0\n"), {}, "UTF-8"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_line_and_a_failure_file(
    name: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, extra, cause = FAULTS[name]
    write(tmp_path)
    pairs = [f"-H{key}={value}" for key, value in {**TINY, **extra}.items()]
    done = run_byoc(place, "train", "--train", str(tmp_path), *pairs, "--job-name", name)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line]
    assert len(said) == 1, said
    assert said[0].startswith(f"byoc: training job {name}: Failed: ")
    assert cause in said[0]
    failure = place / "state" / JOBS / name / "ml" / "output" / "failure"
    assert failure.read_text().splitlines()[0] in said[0]


def test_a_missing_channel_is_a_failed_job(place: Path) -> None:
    done = run_byoc(place, "train", "-H", "model-name-or-path=scratch", "--job-name", "no-channel")
    assert done.returncode == 1
    assert "Failed: channel train is missing" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_job(place: Path, number: signal.Signals) -> None:
    name = f"interrupted-{number:d}"
    command = [BYOC, "train", "--train", "data/train", "--job-name", name]
    command += [f"-H{name}={value}" for name, value in {**TINY, "epochs": "1000"}.items()]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if "epoch=1 " in line:
                break
        training.send_signal(number)
        training.communicate(timeout=120)
    assert training.returncode == 130
    found = make_client("process").describe_training_job(TrainingJobName=name)
    assert found["TrainingJobStatus"] == "Stopped"


def test_the_same_requests_run_through_the_api(place: Path) -> None:
    """What `byoc train` and `byoc serve` do, by boto3's method names."""
    client: Any = make_client("process")
    job = requests.TrainingJob(
        name="by-request",
        image="any",
        channels={"train": to_uri(place / "data" / "train")},
        output=to_uri(place / "out"),
        hyperparameters={**TINY, "epochs": "0"},
    )
    with pytest.raises(LaunchError, match="epochs='0' is not allowed"):
        jobs.run(client, requests.training_job(job), lambda _line: None)
    with pytest.raises(LaunchError, match="no model archive"):
        endpoints.deploy(
            client,
            requests.Endpoint(
                name="by-request",
                image="any",
                model_data=to_uri(place / "out" / "by-request" / "output" / "model.tar.gz"),
            ),
        )
    with pytest.raises(LaunchError, match="there is none named by-request"):
        endpoints.predict(make_runtime("process"), "by-request", ["x"])
