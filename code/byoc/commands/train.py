"""`byoc train`: one training job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from byoc.commands.common import (
    TRAINING_IMAGE,
    note,
    parse_hyperparameters,
    say,
    unique_name,
    where_option,
)
from byoc.launch import debugger, jobs, requests
from byoc.launch.aws import default_region
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri


@click.command()
@where_option
@click.option("--train", "train_", metavar="PATH", help="Training data: a file, a folder, an URI.")
@click.option("--validation", metavar="PATH", help="Validation data; without: a part of train.")
@click.option("--test", metavar="PATH", help="Test data.")
@click.option("--model", metavar="DIR", help="A pretrained encoder, as the channel model.")
@click.option("-H", "pairs", metavar="NAME=VALUE", multiple=True, help="A hyperparameter.")
@click.option(
    "--hyperparameters",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Hyperparameters as one JSON object; -H wins.",
)
@click.option("--image", default=TRAINING_IMAGE, show_default=True, help="The training image.")
@click.option("--job-name", help="Default: byoc-train-TIME.")
@click.option(
    "--output",
    metavar="DIR",
    default="out/jobs",
    show_default=True,
    help="A folder or an s3:// URI.",
)
@click.option("--role", default=None, help="RoleArn; needed on AWS.")
@click.option("--instance-type", default=None, help="Default: local; on AWS ml.g5.xlarge.")
@click.option(
    "--max-runtime", type=click.IntRange(1), default=24 * 3600, show_default=True, help="Seconds."
)
@click.option("--debug", is_flag=True, help="Debug and profile in the job; see byoc debug report.")
@click.option("--debug-rules", metavar="RULES", help="all, none, names with commas, or JSON.")
@click.option("--debug-actions", metavar="ACTIONS", help="report; stop; command: …; sns: …")
@click.option(
    "--managed-debugger", is_flag=True, help="SageMaker Debugger too, for those who have it."
)
@click.option(
    "--print-request", is_flag=True, help="Print CreateTrainingJob's request, run nothing."
)
def train(
    where: str,
    train_: str | None,
    validation: str | None,
    test: str | None,
    model: str | None,
    pairs: tuple[str, ...],
    file: Path | None,
    image: str,
    job_name: str | None,
    output: str,
    role: str | None,
    instance_type: str | None,
    max_runtime: int,
    debug: bool,
    debug_rules: str | None,
    debug_actions: str | None,
    managed_debugger: bool,
    print_request: bool,
) -> None:
    """Trains a model through SageMaker's contract, and waits for it."""
    given = {"train": train_, "validation": validation, "test": test, "model": model}
    aws = where == "sagemaker"
    if aws and not role:
        raise LaunchError("--where sagemaker needs --role, the ARN of the job's execution role")
    hyperparameters = parse_hyperparameters(pairs, file)
    if debug or debug_rules is not None or debug_actions is not None:
        hyperparameters = debugger.hyperparameters(debug_rules, debug_actions, hyperparameters)
    job = requests.TrainingJob(
        name=job_name or unique_name("byoc-train"),
        image=image,
        channels={name: _uri(path, aws, name) for name, path in given.items() if path},
        output=_uri(output, aws, "output"),
        role=role or requests.LOCAL_ROLE,
        instance_type=instance_type or ("ml.g5.xlarge" if aws else "local"),
        hyperparameters=hyperparameters,
        max_runtime=max_runtime,
    )
    request = requests.training_job(job)
    if managed_debugger:
        request = _managed(request, where, image, debug_rules)
    if print_request:
        say(json.dumps(request, indent=2))
        return
    client = make_client(where, note)
    ended = jobs.run(client, request, say)
    say(f"model: {ended['ModelArtifacts']['S3ModelArtifacts']}")


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
        raise LaunchError(f"{what} is {path}: on AWS it must be an s3:// URI")
    return path if "://" in path else to_uri(Path(path))
