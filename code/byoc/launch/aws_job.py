"""A training job on AWS: created once, followed by its log and its statuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from byoc.launch.aws_logs import TRAINING, CloudWatchLog
from byoc.launch.errors import LaunchError
from byoc.launch.supervised import ENDED

POLL_SECONDS = 10.0
LAST_LINES_SECONDS = 3.0
"""CloudWatch shows a job's last lines a moment after its end."""

Say = Callable[[str], None]


def create(sagemaker: Any, request: dict[str, Any], note: Say) -> None:
    """CreateTrainingJob; the same request sent again finds its job.

    Raises ``LaunchError`` where another job has the name, and botocore's errors.
    """
    from botocore.exceptions import ClientError

    name = request["TrainingJobName"]
    try:
        sagemaker.create_training_job(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        # An answer that was lost on its way leaves the job there, and so does a broken-off run.
        found = sagemaker.describe_training_job(TrainingJobName=name)
        status = found["TrainingJobStatus"]
        wanted = {key: value for key, value in request.items() if key != "Tags"}
        if not holds(found, wanted) or status in ("Failed", "Stopped"):
            same = "another request" if not holds(found, wanted) else "the same request"
            raise LaunchError(
                f"there is already a training job {name}, {status}, of {same}: choose another "
                "--job-name (AWS never gives a name twice), or leave it out"
            ) from error
        note(f"training job {name} is there already, with the same request: it is followed")


def holds(found: Any, wanted: Any) -> bool:
    """Whether ``found`` says all that ``wanted`` says; AWS adds its defaults."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            # AWS leaves out what is empty.
            holds(found.get(key, type(value)() if not value else None), value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        pairs = zip(found, wanted, strict=True) if isinstance(found, list) else ()
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(holds(one, other) for one, other in pairs)
        )
    return bool(found == wanted)


def follow(sagemaker: Any, logs: Any, name: str, say: Say, note: Say) -> dict[str, Any]:
    """The last description of a job; ``say`` gets its log, ``note`` its statuses and its cost in
    seconds."""
    log = CloudWatchLog(logs, TRAINING, name)
    told = 0
    while True:
        found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        transitions = found.get("SecondaryStatusTransitions", [])
        for it in transitions[told:]:
            if it["Status"] not in ENDED:  # the end is told once, with the bill
                note(f"{name}: {_transition(it)}")
        told = max(told, len(transitions))
        for line in log.lines():
            say(line)
        if found["TrainingJobStatus"] in ENDED:
            time.sleep(min(POLL_SECONDS, LAST_LINES_SECONDS))
            for line in log.lines():
                say(line)
            note(f"{name}: {found['TrainingJobStatus']}{billed(found)}")
            return found
        time.sleep(POLL_SECONDS)


def _transition(found: dict[str, Any]) -> str:
    status, message = found["Status"], found.get("StatusMessage", "")
    return status if message in ("", status) else f"{status}: {message}"


def billed(found: dict[str, Any]) -> str:
    """What is billed: ", 540 s billed of 1800 s (70% saved by spot)"; empty where AWS is silent."""
    seconds, whole = found.get("BillableTimeInSeconds"), found.get("TrainingTimeInSeconds")
    if not seconds:
        return ""
    text = f", {seconds} s billed"
    count = found["ResourceConfig"].get("InstanceCount", 1)
    text += f" on each of {count} instances" if count > 1 else ""
    if found.get("EnableManagedSpotTraining") and whole:
        text += f" of {whole} s ({1 - seconds / whole:.0%} saved by spot)"
    return text
