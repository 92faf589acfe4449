"""Deploys a model to an endpoint, waits for it, asks it, and takes it down again."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from byoc.launch import requests
from byoc.launch.clients import Client, Runtime
from byoc.launch.errors import LaunchError

_POLL = {"process": 0.2, "local": 0.5}
_AWS_POLL = 15.0
UNDER_WAY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
START_SECONDS = 600.0
"""How long an endpoint may take to come up on this machine."""
_AWS_START_SECONDS = 4 * 3600.0
"""On AWS, a last resort: SageMaker gives up by itself, after the download's and the server's limits
(an hour each at most), and turns an update back after its MaximumExecutionTimeoutInSeconds."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text; ``score`` is a probability."""

    text: str
    label: str
    score: float


def deploy(client: Client, endpoint: requests.Endpoint, port: int | None = None) -> None:
    """Creates model, configuration and endpoint; what was made goes again where the rest fails.

    ``port`` is a wish that only the places on this machine know. Raises ``LaunchError``.
    """
    with contextlib.ExitStack() as undo:
        client.create_model(**requests.model(endpoint))
        undo.callback(client.delete_model, ModelName=endpoint.name)
        client.create_endpoint_config(**requests.endpoint_config(endpoint))
        undo.callback(client.delete_endpoint_config, EndpointConfigName=endpoint.name)
        wish = {"Port": port} if port is not None else {}
        client.create_endpoint(**requests.endpoint(endpoint), **wish)
        undo.pop_all()


def wait(client: Client, name: str, timeout: float | None = None) -> dict[str, Any]:
    """Waits until the endpoint answers; raises ``LaunchError`` with the reason where it fails.

    ``timeout`` in seconds; None: as long as a start may take in that place.
    """
    timeout = start_seconds(client) if timeout is None else timeout
    deadline = time.monotonic() + timeout
    while True:
        found = client.describe_endpoint(EndpointName=name)
        status = found["EndpointStatus"]
        if status == "InService":
            return found
        if status not in UNDER_WAY:
            reason = found.get("FailureReason", "no reason given")
            raise LaunchError(f"endpoint {name}: {status}: {reason}")
        if time.monotonic() > deadline:
            raise LaunchError(f"endpoint {name} is not in service after {timeout:.0f} s")
        time.sleep(poll_seconds(client))


def poll_seconds(client: Client) -> float:
    """Between two looks at an endpoint."""
    return _POLL.get(getattr(client, "where", ""), _AWS_POLL)


def start_seconds(client: Client) -> float:
    """How long an endpoint may take to come up, or to be updated."""
    return START_SECONDS if getattr(client, "where", "") in _POLL else _AWS_START_SECONDS


def delete(client: Client, name: str) -> None:
    """Deletes endpoint, configuration and model, as many of them as there are."""
    for remove, key in (
        (client.delete_endpoint, "EndpointName"),
        (client.delete_endpoint_config, "EndpointConfigName"),
        (client.delete_model, "ModelName"),
    ):
        with contextlib.suppress(LaunchError):
            remove(**{key: name})


@contextlib.contextmanager
def serving(
    client: Client, endpoint: requests.Endpoint, port: int | None = None
) -> Iterator[dict[str, Any]]:
    """The description of an endpoint in service, which is gone when the block is left."""
    deploy(client, endpoint, port)
    try:
        yield wait(client, endpoint.name)
    finally:
        delete(client, endpoint.name)


def predict(
    runtime: Runtime, name: str, texts: Sequence[str], target_model: str | None = None
) -> list[Prediction]:
    """One prediction for each text; raises ``LaunchError`` where the reply is not of that form.

    ``target_model``: which one of a multi-model endpoint, relative to its prefix.
    """
    target = {"TargetModel": target_model} if target_model else {}
    answer = runtime.invoke_endpoint(
        EndpointName=name,
        ContentType="application/json",
        Accept="application/json",
        Body=json.dumps({"inputs": list(texts)}).encode(),
        **target,
    )
    return read_predictions(answer["Body"].read(), texts)


def read_predictions(body: bytes, texts: Sequence[str]) -> list[Prediction]:
    """The predictions in a reply's body, in the order of ``texts``."""
    try:
        rows = json.loads(body)
        if len(rows) != len(texts):
            raise ValueError(f"{len(rows)} predictions for {len(texts)} texts")
        return [
            Prediction(text, str(row["label"]), float(row["score"]))
            for text, row in zip(texts, rows, strict=True)
        ]
    except (ValueError, KeyError, TypeError) as error:
        said = body[:200].decode(errors="replace")
        raise LaunchError(f"the endpoint's reply is no list of predictions: {said}") from error
