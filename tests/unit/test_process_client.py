"""The process client's bookkeeping, with shell commands in the place of `train` and `serve`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byoc import cli
from byoc.launch import endpoints, requests
from byoc.launch.errors import LaunchError
from byoc.launch.jobs import Follower, run
from byoc.launch.process import ProcessClient
from byoc.launch.runtime import LocalRuntime
from byoc.launch.state import Record
from byoc.launch.supervised import ENDED, JOBS
from byoc.launch.uris import to_uri

SERVER = """
import http.server, json, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
    def do_GET(self):
        self.answer({})
    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        files = os.listdir(os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "model"))
        self.answer([{"label": files[0], "score": 0.5} for _ in given["inputs"]])
    def log_message(self, *_):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def wait_until(condition: Callable[[], Any], timeout: float = 30) -> Any:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s: {condition}")


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> Iterator[ProcessClient]:
    monkeypatch.setenv("BYOC_STATE_DIR", str(tmp_path / "state"))
    client = ProcessClient(notes.append)
    yield client
    for folder in (tmp_path / "state" / JOBS).glob("*"):
        Record(folder).signal(signal.SIGKILL)


def job(tmp_path: Path, script: str, **changes: Any) -> dict[str, Any]:
    """A request that runs a shell script with the tree as its working folder."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    (data / "train.tsv").write_text("x")
    request = requests.training_job(
        requests.TrainingJob(
            name="job",
            image="any",
            channels={"train": to_uri(data), "single": to_uri(data / "train.tsv")},
            output=to_uri(tmp_path / "out"),
            hyperparameters={"epochs": "4"},
            environment={"COLOUR": "green"},
        )
    )
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = ["sh", "-c", script]
    return {**request, **changes}


def ended(client: ProcessClient, name: str = "job") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = client.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] in ENDED else None

    found: dict[str, Any] = wait_until(look)
    return found


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {member.name for member in tar if member.isfile()}


def test_a_job_sees_sagemakers_tree_and_its_results_are_packed(
    client: ProcessClient, tmp_path: Path
) -> None:
    script = (
        "cat input/data/train/train.tsv input/data/single/train.tsv && cp -r input/config model/"
        ' && echo "$COLOUR $TRAINING_JOB_NAME $SAGEMAKER_BASE_DIR" > output/data/env'
    )
    client.create_training_job(**job(tmp_path, script))
    found = ended(client)
    assert found["TrainingJobStatus"] == "Completed"
    model = tmp_path / "out" / "job" / "output" / "model.tar.gz"
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == f"file://{model}"
    assert names(model) == {
        f"config/{name}.json" for name in ("hyperparameters", "inputdataconfig", "resourceconfig")
    }
    with tarfile.open(model) as tar:
        config = {
            name: json.loads(tar.extractfile(f"config/{name}.json").read())  # type: ignore[union-attr]
            for name in ("hyperparameters", "inputdataconfig", "resourceconfig")
        }
    assert config["hyperparameters"] == {"epochs": "4"}
    assert config["inputdataconfig"]["train"]["TrainingInputMode"] == "File"
    assert config["resourceconfig"]["current_host"] in config["resourceconfig"]["hosts"]
    output = model.with_name("output.tar.gz")
    with tarfile.open(output) as tar:
        words = tar.extractfile("data/env").read().decode().split()  # type: ignore[union-attr]
    assert words == ["green", "job", str(tmp_path / "state" / JOBS / "job" / "ml")]


def test_create_returns_while_the_job_runs_and_stop_ends_it(
    client: ProcessClient, tmp_path: Path
) -> None:
    script = "trap 'echo half > model/half; exit 143' TERM; echo up; while :; do sleep 0.1; done"
    client.create_training_job(**job(tmp_path, script))
    log = client.log_file(JOBS, "job")
    wait_until(lambda: "up" in log.read_text())
    status = client.describe_training_job(TrainingJobName="job")["TrainingJobStatus"]
    assert status == "InProgress"
    client.stop_training_job(TrainingJobName="job")
    assert ended(client)["TrainingJobStatus"] == "Stopped"
    assert names(tmp_path / "out" / "job" / "output" / "model.tar.gz") == {"half"}
    with pytest.raises(LaunchError, match="ended already"):
        client.stop_training_job(TrainingJobName="job")


def test_the_failure_file_becomes_the_reason(client: ProcessClient, tmp_path: Path) -> None:
    script = "echo half > model/half; printf 'bad data %2000s' x > output/failure; exit 1"
    client.create_training_job(**job(tmp_path, script))
    found = ended(client)
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("bad data")
    assert len(found["FailureReason"]) == 1024
    assert "ModelArtifacts" not in found
    assert names(tmp_path / "out" / "job" / "output" / "output.tar.gz") == {"failure"}


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("echo no luck >&2; exit 3", "exit code 3: no luck"),
        ("kill -9 $$", "signal 9"),
        ("ln -s /etc model/link", "link is neither a file nor a folder"),
    ],
)
def test_a_death_without_a_failure_file_is_told(
    client: ProcessClient, tmp_path: Path, script: str, cause: str
) -> None:
    with pytest.raises(LaunchError, match=cause):
        run(client, job(tmp_path, script), lambda _line: None)


def test_a_dead_supervisor_is_a_failed_job(client: ProcessClient, tmp_path: Path) -> None:
    client.create_training_job(**job(tmp_path, "echo $$ > pid; exec sleep 60"))
    record = Record.find(JOBS, "job")
    pid_file = record.folder / "ml" / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
    record.signal(signal.SIGKILL)
    found = ended(client)
    assert found["TrainingJobStatus"] == "Failed"
    assert "supervisor died" in found["FailureReason"]
    pid = int(pid_file.read_text())

    def gone() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return True

    wait_until(gone)


def test_the_time_limit_is_kept(client: ProcessClient, tmp_path: Path) -> None:
    request = job(tmp_path, "exec sleep 60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    client.create_training_job(**request)
    found = ended(client)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == (
        "Stopped",
        "MaxRuntimeExceeded",
    )


def test_ignored_fields_are_named(client: ProcessClient, tmp_path: Path, notes: list[str]) -> None:
    request = job(tmp_path, "true", EnableNetworkIsolation=True, VpcConfig={"Subnets": []})
    client.create_training_job(**request)
    ended(client)
    assert [next(word for word in line.split() if word in request) for line in notes] == [
        "EnableNetworkIsolation",
        "VpcConfig",
    ]


def test_what_would_change_the_result_is_refused(client: ProcessClient, tmp_path: Path) -> None:
    request = job(tmp_path, "true")
    request["ResourceConfig"]["InstanceCount"] = 2
    with pytest.raises(LaunchError, match="one host only"):
        client.create_training_job(**request)
    request = job(tmp_path, "true")
    request["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe"
    with pytest.raises(LaunchError, match="Pipe is not known"):
        client.create_training_job(**request)
    request = job(tmp_path, "true")
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://bucket/train"
    with pytest.raises(LaunchError, match="channel train is 's3://bucket/train'"):
        client.create_training_job(**request)
    assert not (tmp_path / "state" / JOBS / "job").exists()


def test_a_name_is_used_once(client: ProcessClient, tmp_path: Path) -> None:
    client.create_training_job(**job(tmp_path, "true"))
    ended(client)
    with pytest.raises(LaunchError, match="already one named job"):
        client.create_training_job(**job(tmp_path, "true"))
    with pytest.raises(LaunchError, match="no name for SageMaker"):
        client.create_training_job(**job(tmp_path, "true", TrainingJobName="../x"))


def test_log_lines_come_whole_and_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower = Follower(log)
    assert follower.lines() == []
    log.write_bytes(b"one\ntw")
    assert follower.lines() == ["one"]
    log.write_bytes(b"one\ntwo\n10%\r20%\nlast")
    assert follower.lines() == ["two", "20%"]
    assert follower.lines(last=True) == ["last"]


class _ScriptedClient(ProcessClient):
    """Serves with a few lines of Python."""

    script = SERVER

    def need(self, _program: str, _image: str) -> None:
        pass

    def endpoint_command(self, _folder: Path) -> list[str]:
        return [sys.executable, "-c", self.script]


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    (tmp_path / "weights").write_text("w")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "weights", "weights")
    return to_uri(tmp_path / "model.tar.gz")


def test_an_endpoint_lives_until_it_is_deleted(
    client: ProcessClient, artifact: str, tmp_path: Path, notes: list[str]
) -> None:
    scripted = _ScriptedClient(notes.append)
    endpoint = requests.Endpoint(name="e", image="any", model_data=artifact)
    with endpoints.serving(scripted, endpoint):
        record = Record.find("endpoints", "e")
        told = endpoints.predict(LocalRuntime(), "e", ["one", "two"])
        assert [(prediction.text, prediction.label) for prediction in told] == [
            ("one", "weights"),
            ("two", "weights"),
        ]
    assert not record.is_alive()
    assert not list((tmp_path / "state").glob("*/e"))


def test_a_server_that_dies_is_a_failed_endpoint(
    client: ProcessClient, artifact: str, tmp_path: Path, notes: list[str]
) -> None:
    scripted = _ScriptedClient(notes.append)
    scripted.script = "print('serve: no config.json in the model'); raise SystemExit(1)"
    endpoint = requests.Endpoint(name="e", image="any", model_data=artifact)
    with (
        pytest.raises(LaunchError, match=r"Failed: serve: no config\.json"),
        endpoints.serving(scripted, endpoint),
    ):
        pass
    assert not list((tmp_path / "state").glob("*/e"))


def test_a_broken_archive_is_told(client: ProcessClient, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_text("no archive")
    endpoint = requests.Endpoint(
        name="e", image="any", model_data=to_uri(tmp_path / "model.tar.gz")
    )
    with pytest.raises(LaunchError, match="not a whole"):
        endpoints.deploy(_ScriptedClient(print), endpoint)
    assert not list((tmp_path / "state").glob("*/e"))


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from byoc.launch import programs

    monkeypatch.setattr(programs.shutil, "which", lambda *_a, **_k: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LaunchError, match=r"java \(Debian package openjdk-17-jre-headless\)"):
        programs.ensure_programs(print)


def test_jobs_are_listed_shown_read_and_stopped_by_the_command(
    client: ProcessClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["jobs", "list"]) == 0
    assert "there are no training jobs (--where process)" in capsys.readouterr().err
    script = "trap 'exit 143' TERM; echo a line; while :; do sleep 0.05; done"
    client.create_training_job(**job(tmp_path, script))
    log = client.log_file(JOBS, "job")
    wait_until(lambda: "a line" in log.read_text())
    assert cli.run(["jobs", "list"]) == 0
    assert "InProgress" in capsys.readouterr().out
    assert cli.run(["jobs", "logs", "job", "--no-follow"]) == 0
    assert capsys.readouterr().out == "a line\n"
    assert cli.run(["jobs", "stop", "job"]) == 0
    assert capsys.readouterr().out == "job: Stopped\n"
    assert cli.run(["jobs", "stop", "job"]) == 0
    assert "has ended already" in capsys.readouterr().err
    assert cli.run(["jobs", "show", "job"]) == 0
    assert "status:   Stopped" in capsys.readouterr().out
    assert cli.run(["jobs", "logs", "job"]) == 1
    assert "training job job: Stopped" in capsys.readouterr().err
    assert cli.run(["jobs", "show", "none"]) == 1
    assert "there is none named none" in capsys.readouterr().err


def test_parts_of_a_field_that_do_nothing_here_are_said(
    client: ProcessClient, tmp_path: Path, notes: list[str]
) -> None:
    request = job(tmp_path, "true")
    request["OutputDataConfig"]["KmsKeyId"] = "key"
    request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 600
    client.create_training_job(**request)
    ended(client)
    assert [it.split(" has no effect")[0].rpartition(" ")[2] for it in notes] == [
        "ResourceConfig.KeepAlivePeriodInSeconds",
        "OutputDataConfig.KmsKeyId",
    ]
