"""`--where sagemaker`: boto3's own clients, with one-line errors for what is not set up."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from byoc.launch.errors import LaunchError

ATTEMPTS = 8
"""Of one call in all; botocore waits longer before each, about a minute altogether."""
CONNECT_SECONDS, READ_SECONDS = 10, 60


def client(service: str, region: str = "", **options: Any) -> Any:
    """boto3's client for ``service``, with its ``options``; ``region`` empty: as set up.

    Throttling, 5xx and broken connections are tried again. Raises ``LaunchError`` without region
    or credentials.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    patient = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    given = options.pop("config", None)
    try:
        # boto3 itself reads AWS_DEFAULT_REGION only; AWS's other tools read AWS_REGION as well.
        session = boto3.Session(
            region_name=region or os.environ.get("AWS_REGION") or None, botocore_session=_core()
        )
        if session.region_name is None:
            raise LaunchError(
                "no AWS region is set: set AWS_REGION, or `region` in the profile you use"
            )
        if session.get_credentials() is None:
            raise LaunchError(
                "no AWS credentials were found: set AWS_PROFILE, or run `aws configure`"
            )
        config = patient.merge(given) if given else patient
        return session.client(service, config=config, **options)
    except BotoCoreError as error:
        raise LaunchError(f"AWS cannot be used: {error}") from error


def _core() -> Any:
    """botocore's session, with the API's models read once for all: SageMaker's is 3 MB of JSON."""
    from botocore.session import get_session

    core = get_session()
    core.register_component("data_loader", _loader())
    return core


@cache
def _loader() -> Any:
    from botocore.loaders import create_loader
    from botocore.session import get_session

    return create_loader(get_session().get_config_variable("data_path"))


def default_region() -> str:
    """The region of this machine's settings; empty where none is set."""
    import boto3

    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None).region_name or ""
