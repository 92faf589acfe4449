"""Deploys to an endpoint of a name, again and again: what is there already is gone on with.

Model and configuration are named after what they hold, so that a command that is given again after
a failure finds what it has made, and another version stands beside the one that serves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byoc.launch import endpoints, requests
from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_path

VERSION = re.compile(r"[0-9a-f]{8}")
DELETED_SECONDS = 300.0


def versioned(endpoint: requests.Endpoint) -> requests.Endpoint:
    """The endpoint with the version that tells its contents; raises ``LaunchError``."""
    if len(endpoint.name) > 54:
        raise LaunchError(f"{endpoint.name}: an endpoint's name may have 54 characters at most")
    plain = dataclasses.replace(endpoint, version="")
    content = [requests.model(plain), requests.endpoint_config(plain)]
    if endpoint.model_data.startswith("file://"):
        content.append({"sha256": _digest(to_path(endpoint.model_data, "model"))})
    text = json.dumps(content, sort_keys=True)
    return dataclasses.replace(endpoint, version=hashlib.sha256(text.encode()).hexdigest()[:8])


def deploy(
    client: Client,
    endpoint: requests.Endpoint,
    say: Callable[[str], None],
    update: requests.Request | None = None,
    port: int | None = None,
) -> dict[str, Any]:
    """Creates or updates the endpoint and waits until it serves this version; its description.

    ``update``: further fields of UpdateEndpoint; ``port``: a wish for an endpoint's first server
    on this machine. Raises ``LaunchError`` with the reason where
    the endpoint cannot be had; one that was serving before goes on as it was.
    """
    wanted = versioned(endpoint)
    name = wanted.name
    found = settled(client, name, say)
    if found and found["EndpointStatus"] == "Failed":
        say(f"endpoint {name} has failed: it is made anew")
        client.delete_endpoint(EndpointName=name)
        _wait_until_gone(client, name)
        found = None
    if found and found["EndpointConfigName"] == wanted.part:
        say(f"endpoint {name} serves this already")
        return found
    _ensure(client.describe_model, client.create_model, requests.model(wanted), "ModelName")
    config = requests.endpoint_config(wanted)
    _ensure(
        client.describe_endpoint_config, client.create_endpoint_config, config, "EndpointConfigName"
    )
    if found:
        say(f"updating endpoint {name}: the version that serves goes on until the new one answers")
        if port is not None:
            say("--port has no effect on an update: the next server listens beside this one")
        client.update_endpoint(EndpointName=name, EndpointConfigName=wanted.part, **(update or {}))
    else:
        say(f"creating endpoint {name}")
        wish = {"Port": port} if port is not None else {}
        client.create_endpoint(**requests.endpoint(wanted), **wish)
    ended = endpoints.wait(client, name)
    if ended["EndpointConfigName"] != wanted.part:
        reason = ended.get("FailureReason") or "no reason given"
        raise LaunchError(f"endpoint {name} serves what it did before: {reason}")
    remove_versions(client, name, keep=wanted.part, before=found)
    return ended


def settled(client: Client, name: str, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The endpoint once nothing is going on with it; None where there is none."""
    found = describe(client, name)
    if found and found["EndpointStatus"] not in ("InService", "Failed"):
        say(f"endpoint {name} is {found['EndpointStatus']}: waiting for that")
        if found["EndpointStatus"] == "Deleting":
            _wait_until_gone(client, name)
            return None
        with contextlib.suppress(LaunchError):  # told by its status
            endpoints.wait(client, name)
        found = describe(client, name)
    return found


def describe(client: Client, name: str) -> dict[str, Any] | None:
    """The endpoint's description; None where there is none."""
    return _described(client.describe_endpoint, EndpointName=name)


def remove_versions(
    client: Client, name: str, keep: str = "", before: dict[str, Any] | None = None
) -> list[str]:
    """Deletes the configuration that served before, and its model; what was deleted."""
    old = (before or {}).get("EndpointConfigName", "")
    if not old or old == keep or not is_ours(old, name):
        return []
    return delete_version(client, old)


def delete_version(client: Client, config: str) -> list[str]:
    """Deletes a configuration and the models that it names, as far as they are there."""
    found = _described(client.describe_endpoint_config, EndpointConfigName=config)
    models = [it["ModelName"] for it in (found or {}).get("ProductionVariants", [])]
    gone = []
    if found:
        client.delete_endpoint_config(EndpointConfigName=config)
        gone.append(f"endpoint configuration {config}")
    for model in models:
        if _described(client.describe_model, ModelName=model):
            client.delete_model(ModelName=model)
            gone.append(f"model {model}")
    return gone


def is_ours(part: str, name: str) -> bool:
    """Is this the name of a model or configuration that ``deploy`` or `serve` made?"""
    version = part.removeprefix(f"{name}-")
    return part == name or (part != version and VERSION.fullmatch(version) is not None)


def _ensure(
    look: Callable[..., Any], create: Callable[..., Any], request: requests.Request, key: str
) -> None:
    """An object of this name holds what is wanted: names tell contents."""
    if _described(look, **{key: request[key]}) is None:
        create(**request)


def _described(look: Callable[..., Any], **key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = look(**key)
    except LaunchError:
        return None
    except Exception as error:
        said = getattr(error, "response", {}).get("Error", {})
        if said.get("Code") == "ValidationException" and "find" in said.get("Message", ""):
            return None
        raise
    return found


def _wait_until_gone(client: Client, name: str) -> None:
    deadline = time.monotonic() + DELETED_SECONDS
    while describe(client, name):
        if time.monotonic() > deadline:
            raise LaunchError(f"endpoint {name} is still being deleted: try again later")
        time.sleep(endpoints.poll_seconds(client))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LaunchError(f"there is no model archive {path}: {error.strerror}") from error
