"""`byoc jobs list|show|stop|logs`: training jobs that there are already, in any of the places."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from byoc.commands import train_sagemaker
from byoc.commands.common import note, say, where_option
from byoc.launch import aws_job
from byoc.launch import jobs as launch_jobs
from byoc.launch.aws import client
from byoc.launch.aws_logs import TRAINING, CloudWatchLog
from byoc.launch.clients import make_client
from byoc.launch.supervised import ENDED

_STOP_SECONDS = 150.0
"""SIGTERM, then SIGKILL after 120 s; and a moment for the artifacts."""


@click.group()
def jobs() -> None:
    """Training jobs that there are already."""


@jobs.command("list")
@where_option
@click.option("--most", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--name", "part", default="", help="Only those with this in their name.")
def list_(where: str, most: int, part: str) -> None:
    """The newest jobs first."""
    named = {"NameContains": part} if part else {}
    found = make_client(where, note).list_training_jobs(
        SortBy="CreationTime", SortOrder="Descending", MaxResults=most, **named
    )["TrainingJobSummaries"]
    if not found:
        note(f"there are no training jobs (--where {where})")
        return
    table = Table("job", "status", "created", "seconds")
    table.columns[0].overflow = "fold"
    table.columns[3].justify = "right"
    for it in found:
        name, status = it["TrainingJobName"], it["TrainingJobStatus"]
        table.add_row(name, status, _moment(it["CreationTime"]), _seconds(it))
    Console(markup=False, highlight=False).print(table)


@jobs.command()
@where_option
@click.option("--json", "as_json", is_flag=True, help="The whole description, as JSON.")
@click.argument("name")
def show(name: str, where: str, as_json: bool) -> None:
    """How a job stands, on what it runs, and where its model is."""
    found = make_client(where, note).describe_training_job(TrainingJobName=name)
    if as_json:
        found.pop("ResponseMetadata", None)
        say(json.dumps(found, indent=2, default=str))
        return
    resources = found["ResourceConfig"]
    secondary = found.get("SecondaryStatus", "")
    status = found["TrainingJobStatus"]
    lines = {
        "job": name,
        "status": status if secondary in ("", status) else f"{status} ({secondary})",
        "reason": " ".join(found.get("FailureReason", "").split()),
        "started": _moment(found.get("TrainingStartTime")),
        "seconds": _seconds(found) + aws_job.billed(found),
        "instance": f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '?')}",
        "image": found["AlgorithmSpecification"].get("TrainingImage", ""),
        "output": found["OutputDataConfig"]["S3OutputPath"],
        "model": found.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
    }
    for key, value in lines.items():
        if value:
            say(f"{key + ':':<10}{value}")


@jobs.command()
@where_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it has stopped.")
@click.argument("name")
def stop(name: str, where: str, wait: bool) -> int:
    """Ends a job: SIGTERM, and SIGKILL after 120 seconds; it keeps its best model so far."""
    made = make_client(where, note)
    found = made.describe_training_job(TrainingJobName=name)
    if found["TrainingJobStatus"] in ENDED:
        note(f"training job {name} has ended already")
    elif found["TrainingJobStatus"] != "Stopping":
        made.stop_training_job(TrainingJobName=name)
        found = made.describe_training_job(TrainingJobName=name)
    deadline = time.monotonic() + _STOP_SECONDS
    while wait and found["TrainingJobStatus"] not in ENDED and time.monotonic() < deadline:
        time.sleep(aws_job.POLL_SECONDS if where == "sagemaker" else 0.2)
        found = made.describe_training_job(TrainingJobName=name)
    say(f"{name}: {found['TrainingJobStatus']}")
    return 1 if wait and found["TrainingJobStatus"] not in ENDED else 0


@jobs.command()
@where_option
@click.option("--follow/--no-follow", default=True, show_default=True, help="To the job's end.")
@click.argument("name")
def logs(name: str, where: str, follow: bool) -> None:
    """A job's log from its beginning; follows one that runs."""
    made = make_client(where, note)
    if follow and where == "sagemaker":
        train_sagemaker.follow(made, name)
    elif follow:
        launch_jobs.checked(launch_jobs.wait(made, name, say))
    else:
        made.describe_training_job(TrainingJobName=name)
        for line in _lines(made, name, where):
            say(line)


def _lines(made: Any, name: str, where: str) -> list[str]:
    if where == "sagemaker":
        return CloudWatchLog(client("logs"), TRAINING, name).lines()
    return launch_jobs.Follower(made.log_file("training-jobs", name)).lines(last=True)


def _moment(found: Any) -> str:
    """boto3 has dates, the places on this machine have seconds since 1970."""
    if found is None:
        return ""
    moment = found if isinstance(found, datetime) else datetime.fromtimestamp(found, UTC)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _seconds(found: dict[str, Any]) -> str:
    start = found.get("TrainingStartTime") or found.get("CreationTime")
    end = found.get("TrainingEndTime")
    if start is None or end is None:
        return ""
    if isinstance(end, datetime):
        return f"{(end - start).total_seconds():.0f}"
    return f"{end - start:.0f}"
