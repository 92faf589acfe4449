"""A prefix in a bucket, and whether it can be used from here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from byoc.data.upload.faults import elsewhere, told
from byoc.launch import aws
from byoc.launch.errors import LaunchError

WORKERS = 8
"""Requests at once; each holds one part in memory."""
DIGEST = "sha256"
"""The metadata of an object that holds its digest. S3 has checked the bytes as they came."""

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")


@dataclass(frozen=True)
class Place:
    """``base``: the prefix, with a slash at its end; ``kms_key``: what objects are encrypted
    with."""

    client: Any
    bucket: str
    base: str
    kms_key: str | None

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.base}"

    def at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.base + name}

    def encryption(self) -> dict[str, str]:
        if self.kms_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}

    def head(self, name: str) -> dict[str, Any] | None:
        """None where there is no such object."""
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = self.client.head_object(**self.at(name))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None
            raise
        return found

    def has(self, name: str, digest: str) -> bool:
        """Whether the object is there, with this content and, where one is asked for, this key."""
        found = self.head(name)
        if found is None or found["Metadata"].get(DIGEST) != digest:
            return False
        # A key is given by its id or its ARN, and answered by its ARN.
        key = (self.kms_key or "").rpartition("/")[2]
        return str(found.get("SSEKMSKeyId", "")).endswith(key)


def parse(uri: str) -> tuple[str, str]:
    """Bucket and prefix of s3://BUCKET/PREFIX; raises ``LaunchError``."""
    found = _URI.fullmatch(uri)
    if not found:
        raise LaunchError(f"{uri!r} is not of the form s3://BUCKET/PREFIX")
    return found[1], (found[2] or "").strip("/")


def connect() -> Any:
    """The S3 client; throttling and faults of the server are tried again with growing waits."""
    from botocore.config import Config

    settings = Config(
        retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=WORKERS
    )
    return aws.client("s3", config=settings)


def check(client: Any, bucket: str) -> None:
    """Raises ``LaunchError`` where the bucket is not there, not here, or not ours to list."""
    region = client.meta.region_name
    with told(bucket, region):
        # Unlike HeadBucket's, the refusals of this call say why.
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        found = client.head_bucket(Bucket=bucket)
    there = found.get("BucketRegion")
    if there and there != region:
        raise LaunchError(elsewhere(bucket, there, region))
