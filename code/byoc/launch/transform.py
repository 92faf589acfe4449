"""Batch transform: CreateTransformJob's request, and a job from start to end in any of the places.

Source: the API's service model in botocore (CreateTransformJob).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from byoc.launch import requests
from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.launch.jobs import Follower
from byoc.launch.supervised import ENDED, TRANSFORMS

_POLL = {"process": 0.2, "local": 0.5}
_AWS_POLL = 15.0

CONTENT_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".txt": "text/plain",
}
"""By a file's ending."""
STRATEGIES = ("MultiRecord", "SingleRecord")


@dataclass(frozen=True)
class TransformJob:
    """``input``: URI of a file or a folder; ``output``: of a folder. What is None the container
    chooses (/execution-parameters). ``joins``: each output line follows its input."""

    name: str
    model: str
    input: str
    output: str
    content_type: str
    accept: str = ""
    strategy: str | None = None
    payload: int | None = None
    """MB."""
    transforms: int | None = None
    joins: bool = False
    instance_type: str = "local"
    environment: Mapping[str, str] = field(default_factory=dict)


def request(job: TransformJob) -> requests.Request:
    """The request of CreateTransformJob: a line is a record, and gets a line."""
    chosen = {
        "BatchStrategy": job.strategy,
        "MaxPayloadInMB": job.payload,
        "MaxConcurrentTransforms": job.transforms,
        "Environment": dict(job.environment) or None,
        "DataProcessing": {"JoinSource": "Input"} if job.joins else None,
    }
    output = {"S3OutputPath": job.output, "AssembleWith": "Line"}
    return {
        "TransformJobName": job.name,
        "ModelName": job.model,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": job.input}},
            "ContentType": job.content_type,
            "SplitType": "Line",
            "CompressionType": "None",
        },
        "TransformOutput": output | ({"Accept": job.accept} if job.accept else {}),
        "TransformResources": {"InstanceType": job.instance_type, "InstanceCount": 1},
        **{name: value for name, value in chosen.items() if value is not None},
    }


def run(
    client: Client,
    job: TransformJob,
    model: requests.Endpoint,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Creates the model, runs the job, deletes the model; the job's last description.

    ``say`` gets the log line by line (on AWS: the changes of status). Ctrl-C stops the job.
    Raises ``LaunchError`` with the FailureReason unless the job has completed.
    """
    client.create_model(**requests.model(model))
    try:
        client.create_transform_job(**request(job))
        say(f"transform job {job.name} has started")
        try:
            ended = wait(client, job.name, say)
        except KeyboardInterrupt:
            with contextlib.suppress(LaunchError):
                client.stop_transform_job(TransformJobName=job.name)
                say(f"stopping transform job {job.name}")
                wait(client, job.name, say)
            raise
    finally:
        with contextlib.suppress(LaunchError):
            client.delete_model(ModelName=model.name)
    status = ended["TransformJobStatus"]
    if status == "Completed":
        return ended
    reason = " ".join((ended.get("FailureReason") or "no reason given").split())
    raise LaunchError(f"transform job {job.name}: {status}: {reason}")


def wait(client: Client, name: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The description of a job that has ended, however it did."""
    log_file = getattr(client, "log_file", None)
    log = Follower(log_file(TRANSFORMS, name)) if log_file else None
    seconds = _POLL.get(getattr(client, "where", ""), _AWS_POLL)
    told = ""
    while True:
        found = client.describe_transform_job(TransformJobName=name)
        status = found["TransformJobStatus"]
        if log is not None:
            for line in log.lines(last=status in ENDED):
                if not line.startswith("{"):  # of each request, in the log alone
                    say(line)
        elif status != told:
            told = status
            say(f"transform job {name}: {status}")
        if status in ENDED:
            return found
        time.sleep(seconds)
