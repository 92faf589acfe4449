"""An image in ECR, by tag or digest, in any account: its digest is what a job gets.

A tag may name another image tomorrow, when an endpoint scales or a job starts again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from byoc.launch.aws import client, default_region
from byoc.launch.errors import LaunchError
from byoc.launch.registry import KINDS, SCHEMA_2

_NAME = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[a-z0-9._/-]+?)(?::(?P<tag>[\w.-]{1,128}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class EcrName:
    """The parts of ``host/repository:tag@digest``; ``tag`` or ``digest`` may be empty."""

    host: str
    account: str
    region: str
    repository: str
    tag: str
    digest: str


def parse(image: str) -> EcrName:
    """Raises ``LaunchError`` for what is no image in ECR."""
    found = _NAME.fullmatch(image)
    if found is None:
        raise LaunchError(
            f"image {image} is not in ECR, and SageMaker pulls from nowhere else: "
            "`build_and_push.sh --push` puts it there and prints its name"
        )
    host = image.partition("/")[0]
    return EcrName(host, *(found[key] or "" for key in EcrName.__annotations__ if key != "host"))


def pinned(image: str, region: str = "", *, hosting: bool = False) -> str:
    """``host/repository@sha256:…`` of an image in ECR; ``region``: where it is to run.

    Raises ``LaunchError`` where there is none, where it is in another region, and (``hosting``)
    where its manifest is of a kind that hosting refuses; botocore's errors for the rest.
    """
    from botocore.exceptions import ClientError

    name = parse(image)
    region = region or default_region() or name.region
    if name.region != region:
        raise LaunchError(
            f"image {image} is in {name.region}, and SageMaker in {region} pulls from there only: "
            f"`build_and_push.sh --push --region {region}`, or ECR's replication"
        )
    wanted = {"imageDigest": name.digest} if name.digest else {"imageTag": name.tag or "latest"}
    try:
        (found,) = client("ecr", region).describe_images(
            registryId=name.account, repositoryName=name.repository, imageIds=[wanted]
        )["imageDetails"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "RepositoryNotFoundException":
            raise LaunchError(
                f"there is no ECR repository {name.repository} in account {name.account}, "
                f"{region}: "
                "`build_and_push.sh --push` makes it"
            ) from error
        if code == "ImageNotFoundException":
            raise LaunchError(
                f"there is no image {image}: `aws ecr describe-images --repository-name "
                f"{name.repository}` lists what is there"
            ) from error
        raise
    kind = found.get("imageManifestMediaType", SCHEMA_2)
    if hosting and kind != SCHEMA_2:
        raise LaunchError(
            f"image {image} is {KINDS.get(kind, kind)}, which SageMaker hosting refuses: build it "
            "with docker/images.sh (no attestations, no OCI)"
        )
    return f"{name.host}/{name.repository}@{found['imageDigest']}"
