"""What the clients on this machine share: supervised jobs and endpoints behind boto3's names.

A training job has a runner process of its own, which outlives the caller, and an endpoint has one
that is the server or holds it. The places differ in the command lines only.
"""

from __future__ import annotations

import abc
import contextlib
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from byoc import archive
from byoc.launch import training_fields, transform_fields
from byoc.launch.errors import LaunchError
from byoc.launch.state import Record, child_environment, last_line, state_dir
from byoc.launch.uris import to_path

JOBS, TRANSFORMS = "training-jobs", "transform-jobs"
MODELS, CONFIGS, ENDPOINTS = "models", "endpoint-configs", "endpoints"
ENDED = ("Completed", "Failed", "Stopped")
SUPERVISOR_DIED = "the job's supervisor died"
"""How the FailureReason of a job begins that was neither the job's own fault nor stopped."""

_STOP_SECONDS = 45.0
"""SageMaker gives a server 30 s after SIGTERM; a container takes a moment more to go."""


class SupervisedClient(abc.ABC):
    """boto3's SageMaker methods for this machine; ``say`` gets the lines that a user should see."""

    where: str
    honoured: frozenset[str] = frozenset()
    serve_prefix = "serve:"

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started: list[Any] = []  # kept for reaping: a zombie is nobody's friend

    @abc.abstractmethod
    def need(self, _program: str, _image: str) -> None:
        """Raises ``LaunchError`` where `train` or `serve` cannot be run here."""

    @abc.abstractmethod
    def job_command(self, folder: Path) -> Sequence[str]:
        """The runner of the training job whose record is ``folder``."""

    @abc.abstractmethod
    def transform_command(self, folder: Path) -> Sequence[str]:
        """The runner of the transform job whose record is ``folder``."""

    @abc.abstractmethod
    def endpoint_command(self, _folder: Path) -> Sequence[str]:
        """What serves the record's unpacked model on the record's port until SIGTERM."""

    def endpoint_environment(self, _record: Record) -> dict[str, str]:
        """Variables of that command, besides this process's own."""
        return {}

    def abandoned(self, _folder: Path) -> None:  # noqa: B027  (most places leave nothing)
        """Ends what a training job's supervisor has left running when it was killed."""

    def create_training_job(self, **request: Any) -> dict[str, Any]:
        """Starts the job and returns at once; raises ``LaunchError`` where it cannot start."""
        training_fields.check(request, self.where)
        for line in training_fields.ignored(request, f"--where {self.where}", self.honoured):
            self._say(line)
        for channel in request.get("InputDataConfig", []):
            name, uri = channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"]
            path = to_path(uri, f"channel {name}")
            if not path.exists():
                raise LaunchError(f"channel {name}: there is no file or folder {path}")
        to_path(request["OutputDataConfig"]["S3OutputPath"], "S3OutputPath")
        self.need("train", request["AlgorithmSpecification"]["TrainingImage"])
        record = Record.create(JOBS, request["TrainingJobName"], request)
        record.update(
            TrainingJobStatus="InProgress",
            SecondaryStatus="Starting",
            CreationTime=time.time(),
            Where=self.where,
        )
        self._started.append(record.start(self.job_command(record.folder), child_environment()))
        return {"TrainingJobArn": _arn("training-job", request["TrainingJobName"])}

    def describe_training_job(self, **request: str) -> dict[str, Any]:
        name = request["TrainingJobName"]
        record = Record.find(JOBS, name)
        alive = record.is_alive()  # asked first: a runner writes its last state, then goes
        state = record.read("state.json")
        if state.get("TrainingJobStatus") not in ENDED and not alive:
            state["TrainingJobStatus"] = state["SecondaryStatus"] = "Failed"
            said = last_line(record.log)
            state["FailureReason"] = SUPERVISOR_DIED + (f": {said}" if said else "")
            self.abandoned(record.folder)
            record.write("state.json", state)
        self._reap()
        return {**record.read("request.json"), **state}

    def list_training_jobs(self, **request: Any) -> dict[str, Any]:
        """The newest jobs of this place first."""
        found, part = [], request.get("NameContains", "")
        for folder in (state_dir() / JOBS).glob("*"):
            if (
                part in folder.name
                and Record(folder).read("state.json").get("Where", self.where) == self.where
            ):
                found.append(self.describe_training_job(TrainingJobName=folder.name))
        found.sort(key=lambda it: it.get("CreationTime", 0.0), reverse=True)
        names = [f"TrainingJob{it}" for it in ("Name", "Status")]
        names += ["CreationTime", "TrainingStartTime", "TrainingEndTime"]
        return {
            "TrainingJobSummaries": [
                {"CreationTime": 0.0, **{name: it[name] for name in names if name in it}}
                for it in found[: request.get("MaxResults", len(found))]
            ]
        }

    def stop_training_job(self, **request: str) -> dict[str, Any]:
        """Asks the job to stop (SIGTERM, SIGKILL after 120 s); does not wait for it."""
        record = Record.find(JOBS, request["TrainingJobName"])
        status = record.read("state.json").get("TrainingJobStatus")
        if status in ENDED or not record.is_alive():
            raise LaunchError(f"training job {request['TrainingJobName']} has ended already")
        record.signal(signal.SIGTERM)
        return {}

    def create_transform_job(self, **request: Any) -> dict[str, Any]:
        """Starts the job and returns at once; raises ``LaunchError`` where it cannot start."""
        transform_fields.check(request, self.where)
        for line in transform_fields.ignored(request, self.where, self.honoured):
            self._say(line)
        container = Record.find(MODELS, request["ModelName"]).read("request.json")[
            "PrimaryContainer"
        ]
        self.need("serve", container["Image"])
        record = Record.create(TRANSFORMS, request["TransformJobName"], request)
        record.update(TransformJobStatus="InProgress", Container=container)
        command = self.transform_command(record.folder)
        self._started.append(record.start(command, child_environment(PYTHONUTF8="1")))
        return {"TransformJobArn": _arn("transform-job", request["TransformJobName"])}

    def describe_transform_job(self, **request: str) -> dict[str, Any]:
        record = Record.find(TRANSFORMS, request["TransformJobName"])
        alive = record.is_alive()  # asked first: a runner writes its last state, then goes
        state = record.read("state.json")
        if state.get("TransformJobStatus") not in ENDED and not alive:
            state["TransformJobStatus"] = "Failed"
            state["FailureReason"] = f"{SUPERVISOR_DIED}: {last_line(record.log)}"
            record.write("state.json", state)
        self._reap()
        return {**record.read("request.json"), **state}

    def stop_transform_job(self, **request: str) -> dict[str, Any]:
        """Asks the job to stop; does not wait for it."""
        record = Record.find(TRANSFORMS, request["TransformJobName"])
        if record.read("state.json").get("TransformJobStatus") in ENDED or not record.is_alive():
            raise LaunchError(f"transform job {request['TransformJobName']} has ended already")
        record.signal(signal.SIGTERM)
        return {}

    def create_model(self, **request: Any) -> dict[str, Any]:
        container = request["PrimaryContainer"]
        if container.get("Mode") == "MultiModel":
            raise LaunchError(
                f"--where {self.where} serves one model an endpoint; the image itself serves many "
                "with SAGEMAKER_MULTI_MODEL=true (docs/serving.md)"
            )
        path = to_path(container["ModelDataUrl"], "ModelDataUrl")
        if not path.is_file():
            raise LaunchError(f"there is no model archive {path}")
        Record.create(MODELS, request["ModelName"], request)
        return {"ModelArn": _arn("model", request["ModelName"])}

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        variants = request["ProductionVariants"]
        if len(variants) != 1 or variants[0].get("InitialInstanceCount", 1) != 1:
            raise LaunchError(
                f"--where {self.where} serves one production variant on one instance only"
            )
        Record.find(MODELS, variants[0]["ModelName"])
        Record.create(CONFIGS, request["EndpointConfigName"], request)
        return {"EndpointConfigArn": _arn("endpoint-config", request["EndpointConfigName"])}

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        """Unpacks the model and starts the server; raises ``LaunchError`` where it cannot."""
        config = Record.find(CONFIGS, request["EndpointConfigName"]).read("request.json")
        variant = config["ProductionVariants"][0]
        model = Record.find(MODELS, variant["ModelName"]).read("request.json")
        container = model["PrimaryContainer"]
        self.need("serve", container["Image"])
        record = Record.create(ENDPOINTS, request["EndpointName"], request)
        try:
            archive.unpack(
                to_path(container["ModelDataUrl"], "ModelDataUrl"), record.folder / "ml" / "model"
            )
            port = int(request.get("Port") or free_port())
            record.update(Port=port, Container=container, InstanceType=variant["InstanceType"])
            environment = child_environment(**self.endpoint_environment(record))
            self._started.append(record.start(self.endpoint_command(record.folder), environment))
        except archive.ArchiveError as error:
            _remove(record)
            raise LaunchError(str(error)) from error
        except BaseException:
            _remove(record)
            raise
        return {"EndpointArn": _arn("endpoint", request["EndpointName"])}

    def describe_endpoint(self, **request: str) -> dict[str, Any]:
        record = Record.find(ENDPOINTS, request["EndpointName"])
        state = record.read("state.json")
        found = {**record.read("request.json"), "Port": state.get("Port")}
        self._reap()
        if not record.is_alive():
            said = last_line(record.log, self.serve_prefix)
            return {**found, "EndpointStatus": "Failed", "FailureReason": said or "no server"}
        healthy = ping(state["Port"])
        return {**found, "EndpointStatus": "InService" if healthy else "Creating"}

    def delete_endpoint(self, **request: str) -> dict[str, Any]:
        """Ends the server and waits until it has gone."""
        record = Record.find(ENDPOINTS, request["EndpointName"])
        record.signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while record.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        record.signal(signal.SIGKILL, group=True)
        _remove(record)
        return {}

    def delete_endpoint_config(self, **request: str) -> dict[str, Any]:
        _remove(Record.find(CONFIGS, request["EndpointConfigName"]))
        return {}

    def delete_model(self, **request: str) -> dict[str, Any]:
        _remove(Record.find(MODELS, request["ModelName"]))
        return {}

    def log_file(self, kind: str, name: str) -> Path:
        """Where the output of a job or an endpoint can be followed (not part of boto3's API)."""
        return state_dir() / kind / name / "log"

    def _reap(self) -> None:
        self._started = [process for process in self._started if process.poll() is None]


def _remove(record: Record) -> None:
    """Deletes a record; what a container's root user wrote there may have to stay."""
    shutil.rmtree(record.folder, ignore_errors=True)


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:local:000000000000:{kind}/{name}"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def ping(port: int) -> bool:
    """True where the server says that it can answer (contract, H03)."""
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer,
    ):
        return bool(answer.status == 200)
    return False
