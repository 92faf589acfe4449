"""A job's data on S3: is it there, in the right region, and how large is it?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from byoc.launch.errors import LaunchError

LEAST_VOLUME = 30
"""GB: room for the image's cache, checkpoints and a model."""
COPIES = 3
"""Of the data on a job's disk at most: the files, their tokens, and what is being written."""


def parts(uri: str, what: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// URI; raises ``LaunchError`` naming ``what`` it is."""
    found = urlsplit(uri)
    if found.scheme != "s3" or not found.netloc:
        raise LaunchError(f"{what} is {uri}: it must be of the form s3://BUCKET/PREFIX")
    return found.netloc, found.path.lstrip("/")


def check_bucket(s3: Any, uri: str, what: str, region: str) -> None:
    """Raises ``LaunchError`` where the bucket is not there, not ours, or in another region."""
    from botocore.exceptions import ClientError

    bucket, _ = parts(uri, what)
    try:
        found = s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        reply = error.response["ResponseMetadata"]
        status = reply["HTTPStatusCode"]
        if status == 404:
            raise LaunchError(f"{what}: there is no bucket {bucket}: check {uri}") from error
        if status == 403:
            raise LaunchError(
                f"{what}: you may not use bucket {bucket}: it is another account's, or you lack "
                "s3:ListBucket on it (docs/iam/caller.json)"
            ) from error
        if status != 301:
            raise
        found = {"BucketRegion": reply.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")}
    there = found.get("BucketRegion") or region
    if there != region:
        raise LaunchError(
            f"{what}: bucket {bucket} is in {there}, and a job in {region} uses buckets of its own "
            f"region only: take another bucket, or AWS_REGION={there}"
        )


def size(s3: Any, uri: str, what: str) -> int:
    """Bytes under a prefix; raises ``LaunchError`` where there is nothing."""
    bucket, key = parts(uri, what)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    sizes = [found["Size"] for page in pages for found in page.get("Contents", ())]
    if not sizes:
        raise LaunchError(f"{what}: there is nothing under {uri}: `byoc data upload` sends it")
    return sum(sizes)


def local_size(path: Path) -> int:
    """Bytes of a file or of all files in a folder; 0 where there is none."""
    files = [path] if path.is_file() else (it for it in path.rglob("*") if it.is_file())
    return sum(it.stat().st_size for it in files)


def volume(sizes: Mapping[str, int]) -> int:
    """The volume in GB for channels of these bytes."""
    return max(LEAST_VOLUME, 10 + math.ceil(COPIES * sum(sizes.values()) / 1e9))
