"""`--where local` end to end: the images through the SDK's local mode."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import SERVING, TRAINING, containers_of, skip_without

from byoc import cli
from byoc.corpus import write_corpus
from byoc.launch import endpoints, jobs, requests
from byoc.launch.clients import make_client, make_runtime
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_path, to_uri

TINY = {
    "model-name-or-path": "scratch",
    "label-names": "unacceptable,acceptable",
    "epochs": "1",
    "max-length": "16",
    "early-stopping-patience": "0",
}


@pytest.fixture(scope="module", autouse=True)
def _engine_and_images() -> None:
    skip_without(TRAINING, SERVING)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    write_corpus(folder / "data", seed=3, size=200)
    return folder


@pytest.fixture(autouse=True)
def _state(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOC_STATE_DIR", str(place / "state"))


def job(place: Path, name: str, **hyperparameters: str) -> requests.TrainingJob:
    data = place / "data"
    return requests.TrainingJob(
        name=name,
        image=TRAINING,
        channels={
            "train": to_uri(data / "train"),
            "validation": to_uri(data / "validation" / "validation.tsv"),
        },
        output=to_uri(place / "out"),
        hyperparameters={**TINY, **hyperparameters},
    )


def test_train_deploy_predict_and_nothing_left(place: Path) -> None:
    notes: list[str] = []
    client = make_client("local", notes.append)
    log: list[str] = []
    request = {**requests.training_job(job(place, "whole")), "EnableNetworkIsolation": True}
    ended = jobs.run(client, request, log.append)
    assert [line for line in notes if "EnableNetworkIsolation has no effect" in line]
    assert [line for line in log if "val_mcc=" in line]
    model = to_path(ended["ModelArtifacts"]["S3ModelArtifacts"], "model")
    assert model == place / "out" / "whole" / "output" / "model.tar.gz"
    endpoint = requests.Endpoint(
        name="whole", image=SERVING, model_data=ended["ModelArtifacts"]["S3ModelArtifacts"]
    )
    with endpoints.serving(client, endpoint):
        told = endpoints.predict(make_runtime("local"), "whole", ["The keys are old.", "old the"])
    assert {prediction.label for prediction in told} <= {"acceptable", "unacceptable"}
    assert len(told) == 2
    assert containers_of(place) == ""
    assert sorted(path.name for path in model.parent.iterdir()) == [
        "model.tar.gz",
        "output.tar.gz",
    ]


def test_the_failure_file_becomes_the_reason(place: Path) -> None:
    request = requests.training_job(job(place, "failing", colour="green"))
    with pytest.raises(LaunchError, match="Failed: hyperparameters: colour is unknown"):
        jobs.run(make_client("local"), request, lambda _line: None)
    assert not (place / "out" / "failing" / "output" / "model.tar.gz").exists()
    assert containers_of(place) == ""


def test_stop_reaches_the_container(place: Path, wait_for_end: Callable[..., str]) -> None:
    client = make_client("local")
    client.create_training_job(**requests.training_job(job(place, "stopped", epochs="1000")))
    assert wait_for_end(client, "stopped") == "Stopped"
    assert containers_of(place) == ""


def test_the_jobs_commands_see_and_stop_a_container(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def byoc(*words: str) -> str:
        capsys.readouterr()
        assert cli.run(list(words)) == 0
        return capsys.readouterr().out

    hyperparameters = [f"-H{name}={value}" for name, value in {**TINY, "epochs": "1000"}.items()]
    where = ("--where", "local")
    channels = ["--train", str(place / "data/train"), "--output", str(place / "out")]
    byoc("train", *where, "--no-wait", "--job-name", "seen", *channels, *hyperparameters)
    deadline = time.monotonic() + 120
    while "epoch=1 " not in byoc("jobs", "logs", "--no-follow", "seen", *where):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    listed = byoc("jobs", "list", *where, "--name", "seen")
    assert "InProgress" in listed
    assert "status:   InProgress" in byoc("jobs", "show", "seen", *where)
    assert "seen: Stopped" in byoc("jobs", "stop", "seen", *where)
    shown = byoc("jobs", "show", "seen", *where)
    assert "status:   Stopped" in shown
    assert (place / "out/seen/output/model.tar.gz").is_file(), "the best model so far is kept"
    assert containers_of(place) == ""


@pytest.fixture
def wait_for_end() -> Callable[..., str]:
    """Stops a job as soon as it has trained an epoch, and gives its last status."""

    def stop_and_wait(client: object, name: str) -> str:
        asked = False

        def say(line: str) -> None:
            nonlocal asked
            if "epoch=1 " in line and not asked:
                asked = True
                client.stop_training_job(TrainingJobName=name)  # type: ignore[attr-defined]

        return str(jobs.wait(client, name, say)["TrainingJobStatus"])  # type: ignore[arg-type]

    return stop_and_wait


def test_a_server_that_dies_is_told_at_once(place: Path) -> None:
    (place / "README").write_text("no model")
    subprocess.run(
        ["tar", "-czf", "broken.tar.gz", "README"], cwd=place, check=True, capture_output=True
    )
    client = make_client("local")
    endpoint = requests.Endpoint(
        name="broken", image=SERVING, model_data=to_uri(place / "broken.tar.gz")
    )
    with (
        pytest.raises(LaunchError, match=r"Failed: .*config\.json"),
        endpoints.serving(client, endpoint),
    ):
        pass
    assert containers_of(place) == ""


def test_a_missing_image_is_told(place: Path) -> None:
    request = requests.training_job(job(place, "no-image"))
    request["AlgorithmSpecification"]["TrainingImage"] = "byoc-nothing:cpu"
    with pytest.raises(LaunchError, match="there is no image byoc-nothing:cpu"):
        make_client("local").create_training_job(**request)
