"""One request, three places: clients with boto3's method names for each value of ``--where``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from byoc.launch.errors import LaunchError

PLACES = ("process", "local", "sagemaker")


class Client(Protocol):
    """The methods of boto3's SageMaker client that are used here, with its keyword arguments."""

    def create_training_job(self, **request: Any) -> dict[str, Any]: ...
    def describe_training_job(self, **request: Any) -> dict[str, Any]: ...
    def list_training_jobs(self, **request: Any) -> dict[str, Any]: ...
    def stop_training_job(self, **request: Any) -> dict[str, Any]: ...
    def create_transform_job(self, **request: Any) -> dict[str, Any]: ...
    def describe_transform_job(self, **request: Any) -> dict[str, Any]: ...
    def stop_transform_job(self, **request: Any) -> dict[str, Any]: ...
    def create_model(self, **request: Any) -> dict[str, Any]: ...
    def describe_model(self, **request: Any) -> dict[str, Any]: ...
    def create_endpoint_config(self, **request: Any) -> dict[str, Any]: ...
    def describe_endpoint_config(self, **request: Any) -> dict[str, Any]: ...
    def create_endpoint(self, **request: Any) -> dict[str, Any]: ...
    def update_endpoint(self, **request: Any) -> dict[str, Any]: ...
    def describe_endpoint(self, **request: Any) -> dict[str, Any]: ...
    def delete_endpoint(self, **request: Any) -> dict[str, Any]: ...
    def delete_endpoint_config(self, **request: Any) -> dict[str, Any]: ...
    def delete_model(self, **request: Any) -> dict[str, Any]: ...


class Runtime(Protocol):
    """The method of boto3's SageMaker runtime client."""

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]: ...


def make_client(where: str, say: Callable[[str], None] = print) -> Client:
    """A client for ``where``; ``say`` gets notes for the user, one line each.

    Raises ``LaunchError`` where the place cannot be used, or there is none of that name.
    """
    if where == "process":
        from byoc.launch.process import ProcessClient

        return ProcessClient(say)
    if where == "local":
        from byoc.launch.local import LocalClient

        return LocalClient(say)
    if where == "sagemaker":
        from byoc.launch.aws import client

        made: Client = client("sagemaker")
        return made
    raise _unknown(where)


def make_runtime(where: str) -> Runtime:
    """A runtime client for ``where``; raises ``LaunchError`` as ``make_client`` does."""
    if where in ("process", "local"):
        # Local mode's own runtime client knows one port only, and takes errors for answers.
        from byoc.launch.runtime import LocalRuntime

        return LocalRuntime()
    if where == "sagemaker":
        from byoc.launch.aws import client

        made: Runtime = client("sagemaker-runtime")
        return made
    raise _unknown(where)


def _unknown(where: str) -> LaunchError:
    return LaunchError(f"there is no place {where!r}: one of {', '.join(PLACES)}")
