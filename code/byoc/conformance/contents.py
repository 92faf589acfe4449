"""What lies in the image: found without running anything of it."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings

SERVERLESS_BYTES = 10 * 1024**3

_SECRET_NAMES = re.compile(r"(secret|passw|token|api_?key|access_?key|credential)", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@|hf_[A-Za-z0-9]{30,}"
)
_SECRET_FILES = re.compile(
    r"(^|/)(\.aws/credentials|\.netrc|\.pypirc|\.git-credentials|\.docker/config\.json"
    r"|id_(rsa|dsa|ecdsa|ed25519)|\.env)$|^run/secrets/."
)


@clause("I02")
def small_clean_image(image: Image) -> str:
    """At most 10 GB; nothing under /opt/ml; no secret in any layer's command, variable or file.

    How: the engine's size, the files' names in the finished image, its variables, and the commands
    that made its layers are looked through; what a later layer hid is not.
    Remedy: keep build tools and caches out of the last stage, keep files out of /opt/ml, hand
    secrets to the build with --mount=type=secret.
    AWS: Deploy models with Amazon SageMaker Serverless Inference; How Amazon SageMaker AI provides
    training information
    """
    findings = Findings()
    size = int(image.attributes["Size"])
    findings.expect(size <= SERVERLESS_BYTES, f"{size / 1e9:.1f} GB", f"{size / 1e9:.2f} GB")
    below = under_opt_ml(image)
    findings.expect(not below, f"under /opt/ml: {', '.join(below[:5])}", "nothing under /opt/ml")
    secrets = [name for name, value in image.variables.items() if _is_secret(name, value)]
    secrets += [f"/{path}" for path in files_of(image) if _SECRET_FILES.search(path)]
    for layer in image.engine.history(image.name):
        if _SECRET_VALUES.search(layer.get("CreatedBy") or ""):
            secrets.append("a layer's command")
    findings.expect(not secrets, f"looks like a secret: {', '.join(secrets[:5])}", "no secret")
    return findings.seen()


def _is_secret(name: str, value: str) -> bool:
    return bool(value) and bool(_SECRET_NAMES.search(name) or _SECRET_VALUES.search(value))


def under_opt_ml(image: Image) -> list[str]:
    """Files that SageMaker's mounts would hide."""
    return [path for path in files_of(image) if path.startswith("opt/ml/")]


def files_of(image: Image) -> list[str]:
    """The names of all files and links in the image, without a leading slash."""
    return image.once("files", lambda: list(_export(image)))


def _export(image: Image) -> Iterator[str]:
    container = image.engine.container(image.name, command=["unused"])
    try:
        stream: Any = io.BufferedReader(_Chunks(container.export(chunk_size=1 << 20)), 1 << 20)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            yield from (it.name.removeprefix("./") for it in tar if not it.isdir())
    finally:
        image.engine.remove(container)


def read_text(image: Image, path: str) -> str:
    """A file of the image; the path without a leading slash."""
    container = image.engine.container(image.name, command=["unused"])
    try:
        chunks, _ = container.get_archive("/" + path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            return member.read().decode("utf-8", "replace") if member else ""
    finally:
        image.engine.remove(container)


class _Chunks(io.RawIOBase):
    """An iterator of bytes as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
