"""`byoc serve`: one endpoint in the foreground."""

from __future__ import annotations

import time
from pathlib import Path

import click

from byoc.commands.common import SERVING_IMAGE, note, say, unique_name, where_option
from byoc.launch import endpoints, images, requests
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri


@click.command()
@where_option
@click.option("--model-data", metavar="FILE", required=True, help="model.tar.gz: a path or an URI.")
@click.option("--multi-model", is_flag=True, help="--model-data is an s3:// prefix of many models.")
@click.option("--image", default=SERVING_IMAGE, show_default=True, help="The serving image.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: a free one.")
@click.option("--endpoint-name", help="Default: byoc-serve-TIME.")
@click.option("--role", default=None, help="ExecutionRoleArn; needed on AWS.")
@click.option(
    "--instance-type",
    default=None,
    help="Default: local; on AWS ml.g5.xlarge, with --multi-model ml.c5.2xlarge.",
)
def serve(
    where: str,
    model_data: str,
    multi_model: bool,
    image: str,
    port: int | None,
    endpoint_name: str | None,
    role: str | None,
    instance_type: str | None,
) -> None:
    """Serves a trained model until Ctrl-C, then cleans up."""
    aws = where == "sagemaker"
    if aws and not role:
        raise LaunchError("--where sagemaker needs --role, the ARN of the model's execution role")
    endpoint = requests.Endpoint(
        name=endpoint_name or unique_name("byoc-serve"),
        image=images.pinned(image, hosting=True) if aws else image,
        model_data=model_data if "://" in model_data else to_uri(Path(model_data)),
        role=role or requests.LOCAL_ROLE,
        instance_type=instance_type or (_instance(multi_model) if aws else "local"),
        is_multi_model=multi_model,
    )
    client = make_client(where, note)
    note(f"starting endpoint {endpoint.name} ({where})")
    try:
        with endpoints.serving(client, endpoint, None if aws else port) as found:
            if aws:
                say(f"endpoint {endpoint.name} is in service")
            else:
                say(f"serving at http://127.0.0.1:{found['Port']}/invocations")
            note("Ctrl-C ends it")
            while (
                client.describe_endpoint(EndpointName=endpoint.name)["EndpointStatus"] != "Failed"
            ):
                time.sleep(2)
            reason = client.describe_endpoint(EndpointName=endpoint.name).get("FailureReason")
            raise LaunchError(f"endpoint {endpoint.name} has ended: {reason}")
    except KeyboardInterrupt:
        note(f"endpoint {endpoint.name} is deleted")


def _instance(multi_model: bool) -> str:
    """SageMaker has many models on a GPU with Triton's server only."""
    return "ml.c5.2xlarge" if multi_model else "ml.g5.xlarge"
