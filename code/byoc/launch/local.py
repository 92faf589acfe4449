"""`--where local`: SageMaker local mode, the real images through the SDK and docker compose.

The SDK's LocalSession blocks while a job runs and keeps what it knows in memory, so each job and
each endpoint gets a process of its own that holds one (local_job.py, local_endpoint.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from byoc.launch import local_session
from byoc.launch.errors import LaunchError
from byoc.launch.supervised import SupervisedClient

SESSION = "session"
"""The folder in a training job's record where the SDK keeps its files."""


class LocalClient(SupervisedClient):
    """Training jobs and endpoints in containers of this machine's Docker engine."""

    where = "local"

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(say)
        cause = engine_fault()
        if cause:
            raise LaunchError(f"--where local needs a Docker engine: {cause}")

    def need(self, _program: str, image: str) -> None:
        need_image(image)

    def job_command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "byoc.launch.local_job", str(folder)]

    def abandoned(self, folder: Path) -> None:
        local_session.remove(folder / SESSION)

    def transform_command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "byoc.launch.local_transform", str(folder)]

    def endpoint_command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "byoc.launch.local_endpoint", str(folder)]


def engine_fault() -> str | None:
    """Why no Docker engine with compose can be used; None where one answers."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except FileNotFoundError:
            return "there is no docker program (docker/engine.sh installs one)"
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` does not answer"
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            return said[-1] if said else f"`{' '.join(command)}` failed"
    return None


def need_image(image: str) -> None:
    """Raises ``LaunchError`` where ``image`` is neither here nor something that can be pulled."""
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if found.returncode != 0 and "/" not in image:
        raise LaunchError(f"there is no image {image}: build it with `make images`")
