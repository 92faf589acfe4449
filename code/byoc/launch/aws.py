"""`--where sagemaker`: boto3's own clients, with one-line errors for what is not set up."""

from __future__ import annotations

import os
from typing import Any

from byoc.launch.errors import LaunchError


def client(service: str, **options: Any) -> Any:
    """boto3's client for ``service``, with its ``options``.

    Raises ``LaunchError`` without region or credentials.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        # boto3 itself reads AWS_DEFAULT_REGION only; AWS's other tools read AWS_REGION as well.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        if session.region_name is None:
            raise LaunchError(
                "no AWS region is set: set AWS_REGION, or `region` in the profile you use"
            )
        if session.get_credentials() is None:
            raise LaunchError(
                "no AWS credentials were found: set AWS_PROFILE, or run `aws configure`"
            )
        return session.client(service, **options)
    except BotoCoreError as error:
        raise LaunchError(f"AWS cannot be used: {error}") from error


def default_region() -> str:
    """The region of this machine's settings; empty where none is set."""
    import boto3

    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None).region_name or ""
