"""A registry over its HTTP API (v2): what a tag points to, and of which kind its manifest is.

SageMaker hosting takes one single-platform manifest in Docker's v2 schema 2 and refuses OCI
manifests and indexes (clause I01), so a push is not done until the manifest was read back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from byoc.launch.errors import LaunchError

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA_2_CONFIG = "application/vnd.docker.container.image.v1+json"
SCHEMA_2_LAYER = "application/vnd.docker.image.rootfs."
KINDS = {
    SCHEMA_2: "a Docker schema 2 manifest",
    "application/vnd.docker.distribution.manifest.list.v2+json": "a Docker manifest list",
    "application/vnd.oci.image.manifest.v1+json": "an OCI manifest",
    "application/vnd.oci.image.index.v1+json": "an OCI index",
}
TIMEOUT_S = 30


class RegistryError(LaunchError):
    """The registry did not answer as a registry does."""


@dataclass(frozen=True)
class Manifest:
    """What a tag points to; ``digest`` is computed from the bytes, ``body`` is their JSON."""

    digest: str
    media_type: str
    body: dict[str, Any]

    @property
    def config_digest(self) -> str | None:
        """The image's own id, the same in every registry; None for an index."""
        config = self.body.get("config")
        return config.get("digest") if isinstance(config, dict) else None


def manifest_fault(manifest: Manifest) -> str | None:
    """Why SageMaker hosting would refuse this manifest (I01), or None where it would take it."""
    declared = {manifest.media_type, self_declared(manifest)}
    if declared != {SCHEMA_2}:
        found = sorted(KINDS.get(kind, repr(kind)) for kind in declared - {SCHEMA_2})
        return f"it is {' and '.join(found)}, not one single-platform Docker schema 2 manifest"
    if manifest.body.get("schemaVersion") != 2:
        return f"its schemaVersion is {manifest.body.get('schemaVersion')!r}, not 2"
    config_type = (manifest.body.get("config") or {}).get("mediaType")
    if config_type != SCHEMA_2_CONFIG:
        return f"its config is {config_type!r}, not Docker's"
    for layer in manifest.body.get("layers") or []:
        if not str(layer.get("mediaType")).startswith(SCHEMA_2_LAYER):
            return f"a layer is {layer.get('mediaType')!r}, not Docker's"
    return None


def self_declared(manifest: Manifest) -> str:
    """The type in the manifest itself; OCI lets it out, and then the registry's header counts."""
    return str(manifest.body.get("mediaType") or manifest.media_type)


def same_image(manifest: Manifest, image_id: str) -> bool:
    """Whether the manifest is of the engine's image ``image_id`` (``sha256:…``).

    The id is the config's digest, or the manifest's own with the containerd image store.
    """
    return image_id in {manifest.config_digest, manifest.digest}


def is_local(host: str) -> bool:
    """Whether ``host`` (NAME[:PORT]) is this machine, where Docker itself speaks plain http."""
    return re.fullmatch(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", host) is not None


def read_manifest(host: str, repository: str, tag: str) -> Manifest | None:
    """What ``host/repository:tag`` points to; None where there is no such tag or repository.

    Credentials are those that ``docker login`` left. Raises ``RegistryError`` for anything else.
    """
    name = f"{host}/{repository}:{tag}"
    url = f"{'http' if is_local(host) else 'https'}://{host}/v2/{repository}/manifests/{tag}"
    with requests.Session() as session:
        session.trust_env = not is_local(host)  # no proxy between us and this machine
        try:
            reply = _get(session, url, docker_credentials(host))
        except requests.RequestException as error:
            raise RegistryError(f"the registry {host} cannot be reached: {error}") from error
    if reply.status_code == 404:
        return None
    if reply.status_code != 200:
        raise RegistryError(f"the registry answers {reply.status_code} when asked for {name}")
    digest = "sha256:" + hashlib.sha256(reply.content).hexdigest()
    said = reply.headers.get("Docker-Content-Digest", digest)
    if said != digest:
        raise RegistryError(f"the manifest of {name} is {digest}, the registry says {said}")
    try:
        body = json.loads(reply.content)
    except ValueError as error:
        raise RegistryError(f"the manifest of {name} is not JSON") from error
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
    return Manifest(digest, kind, body)


def docker_credentials(host: str) -> tuple[str, str] | None:
    """User and password that Docker's own configuration has for ``host``, or None."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
    if helper:
        return _from_helper(f"docker-credential-{helper}", host)
    entry = config.get("auths", {}).get(host) or {}
    user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    return (user, password) if user else None


def _from_helper(program: str, host: str) -> tuple[str, str] | None:
    try:
        done = subprocess.run([program, "get"], input=host, capture_output=True, text=True)
        answer = json.loads(done.stdout)
        return answer["Username"], answer["Secret"]
    except (OSError, ValueError, KeyError):
        return None


def _get(
    session: requests.Session, url: str, credentials: tuple[str, str] | None
) -> requests.Response:
    """GET, with the login that the registry asks for: none, basic, or a token for one scope."""
    headers = {"Accept": ", ".join(KINDS)}
    reply = session.get(url, headers=headers, timeout=TIMEOUT_S)
    if reply.status_code != 401:
        return reply
    scheme, fields = parse_challenge(reply.headers.get("WWW-Authenticate", ""))
    if scheme == "bearer" and "realm" in fields:
        realm = fields.pop("realm")
        answer = session.get(realm, params=fields, auth=credentials, timeout=TIMEOUT_S)
        answer.raise_for_status()
        token = answer.json().get("token") or answer.json().get("access_token")
        headers["Authorization"] = f"Bearer {token}"
        return session.get(url, headers=headers, timeout=TIMEOUT_S)
    return session.get(url, headers=headers, auth=credentials, timeout=TIMEOUT_S)


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """``Bearer realm="…",service="…"`` as the scheme in lower case and its fields."""
    scheme, _, rest = header.partition(" ")
    return scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest))
