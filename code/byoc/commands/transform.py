"""`byoc transform`: one batch transform job."""

from __future__ import annotations

import json
from pathlib import Path

import click

from byoc.commands.common import SERVING_IMAGE, note, say, unique_name, where_option
from byoc.launch import images, requests, transform
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri

CPU_INSTANCE = "ml.c5.2xlarge"
_GPU_NOTE = (
    "batch transform takes no InferenceAmiVersion: which driver a GPU instance has is not "
    "documented, and CUDA 13 needs 580; the image says so at start where it is older"
)


@click.command(name="transform")
@where_option
@click.option("--model-data", metavar="FILE", required=True, help="model.tar.gz: a path or an URI.")
@click.option("--input", "input_", metavar="PATH", required=True, help="A file or folder of lines.")
@click.option("--output", metavar="DIR", default="out/transform", show_default=True)
@click.option("--content-type", help="Default: by the input's ending: .csv .jsonl .json .txt.")
@click.option("--accept", default="", help="Default: the form of the input.")
@click.option("--join", is_flag=True, help="Each output line follows its input.")
@click.option("--strategy", type=click.Choice(transform.STRATEGIES), help="Default: the image's.")
@click.option("--max-payload", type=click.IntRange(1, 100), help="MB. Default: the image's.")
@click.option("--max-concurrent", type=click.IntRange(1), help="Default: the image's.")
@click.option("-E", "variables", metavar="NAME=VALUE", multiple=True, help="A variable of serve.")
@click.option("--image", default=SERVING_IMAGE, show_default=True, help="The serving image.")
@click.option("--job-name", help="Default: byoc-transform-TIME.")
@click.option("--role", default=None, help="ExecutionRoleArn; needed on AWS.")
@click.option("--instance-type", default=None, help=f"Default: local; on AWS {CPU_INSTANCE}.")
@click.option("--print-request", is_flag=True, help="Print the request, run nothing.")
def transform_(
    where: str,
    model_data: str,
    input_: str,
    output: str,
    content_type: str | None,
    accept: str,
    join: bool,
    strategy: str | None,
    max_payload: int | None,
    max_concurrent: int | None,
    variables: tuple[str, ...],
    image: str,
    job_name: str | None,
    role: str | None,
    instance_type: str | None,
    print_request: bool,
) -> None:
    """Classifies every line of files: output line i belongs to input line i."""
    aws = where == "sagemaker"
    if aws and not role:
        raise LaunchError("--where sagemaker needs --role, the ARN of the model's execution role")
    instance = instance_type or (CPU_INSTANCE if aws else "local")
    if instance.startswith(requests.GPU_FAMILIES):
        note(_GPU_NOTE)
    name = job_name or unique_name("byoc-transform")
    job = transform.TransformJob(
        name=name,
        model=name,
        input=_uri(input_, aws, "input"),
        output=_uri(output, aws, "output"),
        content_type=content_type or _by_ending(input_),
        accept=accept,
        strategy=strategy,
        payload=max_payload,
        transforms=max_concurrent,
        joins=join,
        instance_type=instance,
        environment=dict(_pair(text) for text in variables),
    )
    if print_request:
        say(json.dumps(transform.request(job), indent=2))
        return
    model = requests.Endpoint(
        name=name,
        image=images.pinned(image, hosting=True) if aws else image,
        model_data=_uri(model_data, aws, "model-data"),
        role=role or requests.LOCAL_ROLE,
    )
    transform.run(make_client(where, note), job, model, say)
    say(f"output: {job.output}")


def _by_ending(path: str) -> str:
    ending = Path(path).suffix.lower()
    if ending not in transform.CONTENT_TYPES and Path(path).is_dir():
        found = {it.suffix.lower() for it in Path(path).rglob("*") if it.is_file()}
        ending = found.pop() if len(found) == 1 else ""
    if ending not in transform.CONTENT_TYPES:
        choice = " ".join(transform.CONTENT_TYPES)
        raise LaunchError(f"give --content-type: the input's ending is none of {choice}")
    return transform.CONTENT_TYPES[ending]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise LaunchError(f"-E {text!r} is not of the form NAME=VALUE")
    return name, value


def _uri(path: str, aws: bool, what: str) -> str:
    if aws and not path.startswith("s3://"):
        raise LaunchError(f"{what} is {path}: on AWS it must be an s3:// URI")
    return path if "://" in path else to_uri(Path(path))
