"""`byoc train`: one training job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from byoc.commands import train_sagemaker
from byoc.commands.common import note, parse_hyperparameters, say, unique_name
from byoc.commands.train_options import Options, aws_options, train_options
from byoc.launch import debugger, jobs, requests, s3_data, training_options
from byoc.launch.aws import default_region
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri

CHANNELS = {"train": "train_", "validation": "validation", "test": "test", "model": "model"}


@click.command()
@train_options
def train(**options: Any) -> None:
    """Trains a model through SageMaker's contract, and waits for it."""
    where, aws = options["where"], options["where"] == "sagemaker"
    if aws and not options["role"]:
        raise LaunchError("--where sagemaker needs --role, the ARN of the job's execution role")
    request = _request(options, aws)
    if options["managed_debugger"]:
        request = _managed(request, where, options["image"], options["debug_rules"])
    if options["print_request"]:
        say(json.dumps(request, indent=2))
        return
    if aws:
        ended = train_sagemaker.run(
            request, wait=options["wait"], sizes_volume=not options["volume_size"]
        )
    elif options["wait"]:
        ended = jobs.run(make_client(where, note), request, say)
    else:
        make_client(where, note).create_training_job(**request)
        train_sagemaker.note_how_to_follow(request["TrainingJobName"], where)
        ended = None
    if ended is not None:
        say(f"model: {ended['ModelArtifacts']['S3ModelArtifacts']}")


def _request(options: Options, aws: bool) -> requests.Request:
    hyperparameters = parse_hyperparameters(options["pairs"], options["file"])
    rules, actions = options["debug_rules"], options["debug_actions"]
    if options["debug"] or rules is not None or actions is not None:
        hyperparameters = debugger.hyperparameters(rules, actions, hyperparameters)
    given = {name: options[key] for name, key in CHANNELS.items() if options[key]}
    sizes = {} if aws else {name: s3_data.local_size(Path(path)) for name, path in given.items()}
    job = requests.TrainingJob(
        name=options["job_name"] or unique_name("byoc-train"),
        image=options["image"],
        channels={name: _uri(path, aws, name) for name, path in given.items()},
        output=_uri(options["output"], aws, "output"),
        role=options["role"] or requests.LOCAL_ROLE,
        instance_type=options["instance_type"] or ("ml.g5.xlarge" if aws else "local"),
        hyperparameters=hyperparameters,
        max_runtime=options["max_runtime"],
        volume=options["volume_size"] or s3_data.volume(sizes),
    )
    checkpoints = options["checkpoints"]
    return training_options.add(
        requests.training_job(job),
        aws_options(options, _uri(checkpoints, aws, "checkpoints") if checkpoints else ""),
    )


def _managed(request: requests.Request, where: str, image: str, rules: str | None) -> Any:
    if where != "sagemaker":
        raise LaunchError(
            f"--managed-debugger is SageMaker's own, and --where {where} has none of it "
            "(DebugHookConfig, DebugRuleConfigurations, ProfilerConfig, "
            "ProfilerRuleConfigurations): --debug runs the rules in the job, anywhere"
        )
    region = debugger.region_of(image) or default_region()
    named = [name.strip() for name in (rules or "").split(",") if name.strip()]
    chosen = debugger.MANAGED_DEFAULT if named in ([], ["all"]) else named
    return debugger.managed(request, region, chosen)


def _uri(path: str, aws: bool, what: str) -> str:
    if aws and not path.startswith("s3://"):
        how = {
            "output": "",
            "checkpoints": "",
            "model": ": `byoc data model` puts a pretrained model there",
        }.get(what, f": `byoc data upload {path} s3://BUCKET/PREFIX` sends it")
        raise LaunchError(f"{what} is {path}: on AWS it must be an s3:// URI{how}")
    return path if "://" in path else to_uri(Path(path))
