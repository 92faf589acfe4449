"""What the clients on this machine share: supervised jobs and endpoints behind boto3's names.

A training job has a runner process of its own, which outlives the caller, and an endpoint has one
that is the server or holds it. The places differ in the command lines only.
"""

from __future__ import annotations

import abc
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byoc.launch import training_fields, transform_fields
from byoc.launch.errors import LaunchError
from byoc.launch.hosted import MODELS, HostedEndpoints, arn
from byoc.launch.state import Record, child_environment, last_line, state_dir
from byoc.launch.uris import to_path

JOBS, TRANSFORMS = "training-jobs", "transform-jobs"
ENDED = ("Completed", "Failed", "Stopped")
SUPERVISOR_DIED = "the job's supervisor died"
"""How the FailureReason of a job begins that was neither the job's own fault nor stopped."""


class SupervisedClient(HostedEndpoints):
    """boto3's SageMaker methods for this machine; ``say`` gets the lines that a user should see."""

    honoured: frozenset[str] = frozenset()

    @abc.abstractmethod
    def job_command(self, folder: Path) -> Sequence[str]:
        """The runner of the training job whose record is ``folder``."""

    @abc.abstractmethod
    def transform_command(self, folder: Path) -> Sequence[str]:
        """The runner of the transform job whose record is ``folder``."""

    def abandoned(self, _folder: Path) -> None:
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
        return {"TrainingJobArn": arn("training-job", request["TrainingJobName"])}

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
        self.reap()
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
        return {"TransformJobArn": arn("transform-job", request["TransformJobName"])}

    def describe_transform_job(self, **request: str) -> dict[str, Any]:
        record = Record.find(TRANSFORMS, request["TransformJobName"])
        alive = record.is_alive()  # asked first: a runner writes its last state, then goes
        state = record.read("state.json")
        if state.get("TransformJobStatus") not in ENDED and not alive:
            state["TransformJobStatus"] = "Failed"
            state["FailureReason"] = f"{SUPERVISOR_DIED}: {last_line(record.log)}"
            record.write("state.json", state)
        self.reap()
        return {**record.read("request.json"), **state}

    def stop_transform_job(self, **request: str) -> dict[str, Any]:
        """Asks the job to stop; does not wait for it."""
        record = Record.find(TRANSFORMS, request["TransformJobName"])
        if record.read("state.json").get("TransformJobStatus") in ENDED or not record.is_alive():
            raise LaunchError(f"transform job {request['TransformJobName']} has ended already")
        record.signal(signal.SIGTERM)
        return {}

    def log_file(self, kind: str, name: str) -> Path:
        """Where the output of a job or an endpoint can be followed (not part of boto3's API)."""
        return state_dir() / kind / name / "log"
