"""What build_and_push.sh asks of ECR and of the registry: ``python -m byoc.launch.ecr …``.

Each command prints its result on stdout and nothing else; a fault is one line on stderr and the
exit code that build_and_push.sh hands on (docs/ecr.md lists them).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from byoc.launch.errors import LaunchError
from byoc.launch.registry import RegistryError, manifest_fault, read_manifest, same_image

CREDENTIALS, REGION, CONFLICT, MANIFEST, PUSH = 4, 5, 8, 9, 10

UNTAGGED_DAYS = 14
LIFECYCLE_POLICY = {
    # Tagged images are never expired by age: an endpoint pulls its image again whenever it scales.
    "rules": [
        {
            "rulePriority": 1,
            "description": f"untagged images go after {UNTAGGED_DAYS} days",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": UNTAGGED_DAYS,
            },
            "action": {"type": "expire"},
        }
    ]
}


class PushError(LaunchError):
    """A fault with the exit code that tells it from others."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def session(region: str | None) -> Any:
    """A boto3 session with a region that exists and credentials; raises ``PushError``."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        # boto3 itself reads AWS_DEFAULT_REGION only; AWS's other tools read AWS_REGION as well.
        found = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        require_region(found.region_name, known_regions(found))
        if found.get_credentials() is None:
            raise PushError(CREDENTIALS, "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    except BotoCoreError as error:
        raise PushError(CREDENTIALS, f"the AWS configuration cannot be used: {error}") from error
    return found


def known_regions(found: Any) -> set[str]:
    """All regions with ECR that this boto3 knows, in all partitions."""
    partitions = found.get_available_partitions()
    return {name for part in partitions for name in found.get_available_regions("ecr", part)}


def require_region(region: str | None, known: set[str]) -> None:
    """Raises ``PushError`` unless ``region`` is one of ``known``."""
    if not region:
        raise PushError(REGION, "no AWS region: give --region, or set AWS_REGION")
    if region not in known:
        raise PushError(REGION, f"{region!r} is no AWS region with ECR that this boto3 knows")


@contextmanager
def aws_faults(doing: str) -> Iterator[None]:
    """Turns what boto3 raises into a one-line ``PushError`` with the code of its cause."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    try:
        yield
    except ClientError as error:
        raise PushError(client_error_code(error.response), f"{doing}: {error}") from error
    except EndpointConnectionError as error:
        raise PushError(REGION, f"{doing}: {error}") from error
    except BotoCoreError as error:
        raise PushError(CREDENTIALS, f"{doing}: {error}") from error


def client_error_code(response: Any) -> int:
    """The exit code for AWS's own error: refused credentials, or a call that failed."""
    name = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    refused = status in (401, 403) or any(
        word in name for word in ("AccessDenied", "Token", "Signature", "UnrecognizedClient")
    )
    return CREDENTIALS if refused else PUSH


def token(found: Any) -> tuple[str, str]:
    """The registry's host and the password of its user AWS, good for 12 hours."""
    with aws_faults("cannot get a login to ECR"):
        data = found.client("ecr").get_authorization_token()["authorizationData"][0]
    password = base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]
    return urlsplit(data["proxyEndpoint"]).netloc, password


def identity(found: Any) -> tuple[str, str, str]:
    """Account, region and the host of the account's registry there."""
    with aws_faults("AWS does not accept these credentials"):
        account = found.client("sts").get_caller_identity()["Account"]
    return account, found.region_name, token(found)[0]


def ensure_repository(found: Any, name: str) -> bool:
    """Creates the repository where it is missing; True where it did.

    One that is there keeps its owner's settings: only a note is made where its tags can be moved.
    """
    ecr = found.client("ecr")
    with aws_faults(f"cannot look for the ECR repository {name}"):
        try:
            there = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        except ecr.exceptions.RepositoryNotFoundException:
            there = None
    if there is not None:
        if there.get("imageTagMutability") == "MUTABLE":
            print(f"ecr: note: the tags of repository {name} are mutable", file=sys.stderr)
        return False
    with aws_faults(f"cannot create the ECR repository {name}"):
        ecr.create_repository(
            repositoryName=name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "AES256"},
        )
        ecr.put_lifecycle_policy(
            repositoryName=name, lifecyclePolicyText=json.dumps(LIFECYCLE_POLICY)
        )
    return True


def lookup(host: str, name: str, tag: str, image_id: str) -> str | None:
    """The digest of the tag where it is this image already, None where the tag is free.

    Raises ``PushError``: ``MANIFEST`` for a kind that hosting refuses, ``CONFLICT`` for another
    image.
    """
    manifest = read_manifest(host, name, tag)
    if manifest is None:
        return None
    where = f"{host}/{name}:{tag} ({manifest.digest}) is already there"
    if fault := manifest_fault(manifest):
        raise PushError(MANIFEST, f"{where}, and {fault}: delete it or take another --tag")
    if not same_image(manifest, image_id):
        raise PushError(CONFLICT, f"{where} with other content: commit first or take another --tag")
    return manifest.digest


def verify(host: str, name: str, tag: str, image_id: str) -> str:
    """The digest of what was pushed, once it is certain that SageMaker can pull it."""
    manifest = read_manifest(host, name, tag)
    where = f"{host}/{name}:{tag}"
    if manifest is None:
        raise PushError(PUSH, f"{where} was pushed, but the registry does not have it")
    if fault := manifest_fault(manifest):
        raise PushError(
            MANIFEST,
            f"{where} was pushed as {manifest.digest}, but {fault}: SageMaker hosting refuses it; "
            "delete it, and build with docker/images.sh (no attestations, no OCI)",
        )
    if not same_image(manifest, image_id):
        raise PushError(CONFLICT, f"{where} is {manifest.digest}: not the image that was pushed")
    return manifest.digest


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m byoc.launch.ecr")
    commands = top.add_subparsers(dest="command", required=True)
    for name in ("identity", "password", "ensure"):
        command = commands.add_parser(name)
        command.add_argument("--region")
        if name == "ensure":
            command.add_argument("repository")
    for name in ("lookup", "verify"):
        command = commands.add_parser(name)
        for argument in ("host", "repository", "tag", "image_id"):
            command.add_argument(argument)
    return top


def run(options: argparse.Namespace) -> str:
    """What the command prints on stdout; raises ``PushError`` or ``RegistryError``."""
    if options.command in ("lookup", "verify"):
        ask = lookup if options.command == "lookup" else verify
        return ask(options.host, options.repository, options.tag, options.image_id) or ""
    found = session(options.region)
    if options.command == "identity":
        return " ".join(identity(found))
    if options.command == "password":
        return token(found)[1]
    created = ensure_repository(found, options.repository)
    return "created" if created else "there"


def main(arguments: list[str] | None = None) -> int:
    try:
        print(run(parser().parse_args(arguments)))
    except (PushError, RegistryError) as error:
        text = " ".join(str(error).split())
        print(f"build_and_push: {text}", file=sys.stderr)
        return error.code if isinstance(error, PushError) else PUSH
    return 0


if __name__ == "__main__":
    sys.exit(main())
