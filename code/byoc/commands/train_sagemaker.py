"""`byoc train --where sagemaker`: looks before it leaps, then follows the job."""

from __future__ import annotations

import copy
from typing import Any

from rich import filesize

from byoc.commands.common import note, say
from byoc.launch import aws_job, images, jobs, s3_data, training_options
from byoc.launch.aws import client
from byoc.launch.requests import Request


def run(request: Request, *, wait: bool, sizes_volume: bool) -> dict[str, Any] | None:
    """Creates the job and follows it; the last description, or None with ``wait`` off.

    Raises ``LaunchError`` with the FailureReason, and botocore's errors. Ctrl-C only ends the
    watching.
    """
    sagemaker = client("sagemaker")
    aws_job.create(sagemaker, prepared(request, sagemaker.meta.region_name, sizes_volume), note)
    name = request["TrainingJobName"]
    note(f"training job {name} has started")
    if not wait:
        note_how_to_follow(name, "sagemaker")
        return None
    return follow(sagemaker, name)


def prepared(request: Request, region: str, sizes_volume: bool) -> Request:
    """The request with the image's digest and the volume's size, once all it names is there."""
    made = copy.deepcopy(request)
    algorithm = made["AlgorithmSpecification"]
    algorithm["TrainingImage"] = images.pinned(algorithm["TrainingImage"], region)
    s3 = client("s3")
    places = {
        it["ChannelName"]: it["DataSource"]["S3DataSource"]["S3Uri"]
        for it in made["InputDataConfig"]
    }
    others = {"output": made["OutputDataConfig"]["S3OutputPath"]}
    if "CheckpointConfig" in made:
        others["checkpoints"] = made["CheckpointConfig"]["S3Uri"]
    seen = set()
    for what, uri in {**places, **others}.items():
        bucket, _ = s3_data.parts(uri, what)
        if bucket not in seen:
            s3_data.check_bucket(s3, uri, what, region)
            seen.add(bucket)
    sizes = {name: s3_data.size(s3, uri, name) for name, uri in places.items()}
    resources = made["ResourceConfig"]
    if sizes_volume:
        resources["VolumeSizeInGB"] = s3_data.volume(sizes)
        data = filesize.decimal(sum(sizes.values()))
        note(f"data: {data}; volume: {resources['VolumeSizeInGB']} GB")
    key = made["OutputDataConfig"].get("KmsKeyId")
    if key and training_options.has_local_storage(resources["InstanceType"]):
        note(
            f"{resources['InstanceType']} has its own disk, with AWS's key: yours is for the output"
        )
    return made


def follow(sagemaker: Any, name: str) -> dict[str, Any]:
    """The last description of a job that has completed; raises as ``run`` does."""
    try:
        ended = aws_job.follow(sagemaker, client("logs"), name, say, note)
    except BaseException:
        note(f"training job {name} is not stopped by this")
        note_how_to_follow(name, "sagemaker")
        raise
    return jobs.checked(ended)


def note_how_to_follow(name: str, where: str) -> None:
    note(f"byoc jobs logs {name} --where {where} follows it; byoc jobs stop … ends it")
