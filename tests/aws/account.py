"""An account in which a job could run: a bucket with data, an image in ECR."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3

REGION = "eu-central-1"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Account:
    """``image``: HOST/REPOSITORY:TAG; ``bucket`` holds train/ and dev/."""

    bucket: str
    image: str
    digest: str

    def train(self, *more: str, name: str = "job-1") -> list[str]:
        """The arguments of a `byoc train` that this account can run."""
        data = f"s3://{self.bucket}"
        return [
            *("train", "--where", "sagemaker", "--role", ROLE, "--image", self.image),
            *("--train", f"{data}/train", "--output", f"{data}/out", "--job-name", name),
            *("--instance-type", "ml.m5.large", *more),
        ]


def make_account(kind: str = SCHEMA_2) -> Account:
    s3, ecr = boto3.client("s3"), boto3.client("ecr")
    s3.create_bucket(Bucket="jobs", CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in ("train", "dev"):
        s3.put_object(Bucket="jobs", Key=f"{name}/data.tsv", Body=b"x\t1\t\ta sentence\n" * 1000)
    ecr.create_repository(repositoryName="byoc-training")
    found = put_image("byoc-training", "3e3b0db-cpu", kind)
    return Account("jobs", f"{HOST}/byoc-training:3e3b0db-cpu", found["imageId"]["imageDigest"])


def put_image(repository: str, tag: str, kind: str = SCHEMA_2) -> dict[str, Any]:
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {}, "layers": []})
    found: dict[str, Any] = boto3.client("ecr").put_image(
        repositoryName=repository, imageTag=tag, imageManifest=manifest, imageManifestMediaType=kind
    )["image"]
    return found
