"""The SDK's LocalSession, kept to itself: its folder, its port, its credentials, its containers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

_COMPOSE_PREFIX = re.compile(r"^\S+-algo-\d+-\w+\s+\| ?")
_COMPOSE_WORDS = re.compile(
    r" (Network|Container) |time=.*level=warning|Attaching to |Aborting on container exit"
    r"|\S+-algo-\d+-\w+ exited with"
)
_COMPOSE_FILE = "docker-compose.yaml"

KILL_AFTER = 120
"""Seconds that a container may take from SIGTERM to SIGKILL."""


def open_session(folder: Path, port: int | None = None) -> Any:
    """A LocalSession that keeps its files in ``folder`` and serves on ``port``.

    It reaches no AWS service, but asks for credentials and a region: where the user has none it
    gets words that stand in for them. Call it in a process of its own only: the SDK reads the
    environment.
    """
    import boto3

    os.environ.setdefault("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", os.devnull)
    os.environ.setdefault("SAGEMAKER_USER_CONFIG_OVERRIDE", os.devnull)
    own = boto3.Session()
    region = os.environ.get("AWS_REGION") or own.region_name or "us-east-1"
    session = (
        boto3.Session(region_name=region)
        if own.get_credentials()
        else boto3.Session("local", "local", region_name=region)
    )
    from sagemaker.core.local import LocalSession

    folder.mkdir(parents=True, exist_ok=True)
    made = LocalSession(boto_session=session)
    local: dict[str, Any] = {"container_root": str(folder), "local_code": False}
    if port is not None:
        local["serving_port"] = port
    made.config = {"local": local}
    return made


class PlainLog:
    """Stands in for stdout: takes compose's names off the container's lines, and its own lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        plain = _COMPOSE_PREFIX.sub("", text).replace("\r\n", "\n")
        if not _COMPOSE_WORDS.match(plain):
            self._out.write(plain)
        self._out.flush()
        return len(text)

    def flush(self) -> None:
        self._out.flush()

    def isatty(self) -> bool:
        return False


def use_plain_log() -> None:
    """From here on, what the SDK prints is the container's own words."""
    os.environ.setdefault("COMPOSE_PROGRESS", "quiet")
    os.environ.setdefault("COMPOSE_ANSI", "never")
    sys.stdout = PlainLog(sys.__stdout__ or sys.stderr)


def compose(folder: Path, *arguments: str) -> None:
    """`docker compose ARGUMENTS` for what the SDK started with its files in ``folder``."""
    for path in sorted(folder.glob(f"*/{_COMPOSE_FILE}")):
        subprocess.run(
            ["docker", "compose", "-f", str(path), *arguments], capture_output=True, check=False
        )


def stop_in_background(folder: Path) -> None:
    """Sends SIGTERM to the containers while the caller goes on reading their output."""
    stop = threading.Thread(target=compose, args=(folder, "stop", "-t", str(KILL_AFTER)))
    stop.daemon = True
    stop.start()


def remove(folder: Path) -> None:
    """Removes the containers and the network of ``folder``'s compose files, and no others.

    A network that another local job still uses stays: the engine refuses, and the last one out
    removes it.
    """
    compose(folder, "down", "--volumes", "-t", "30")
    # After a transform the SDK deletes the compose file itself and leaves the container.
    for identity in _left(folder):
        subprocess.run(["docker", "rm", "--force", identity], capture_output=True, check=False)


def _left(folder: Path) -> list[str]:
    """Ids of the containers whose compose file lay under ``folder``, whether it is there or not."""
    form = '{{.ID}} {{.Label "com.docker.compose.project.config_files"}}'
    command = ["docker", "ps", "--all", "--no-trunc", "--format", form]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pairs = (line.partition(" ") for line in listed.splitlines())
    return [identity for identity, _, file in pairs if folder in Path(file).parents]
