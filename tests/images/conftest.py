"""The images under test. `make test` builds them beforehand; without an engine all this skips."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Docker = Callable[..., str]
Build = Callable[..., None]


def docker_command(*words: str, stdin: str = "") -> str:
    """stdout of `docker WORDS…`; fails the test with stderr where docker fails."""
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"docker {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture(scope="session")
def docker() -> Docker:
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no Docker engine: {error}")
    if asked.returncode != 0:
        pytest.skip(f"no Docker engine answers: {asked.stderr.strip()}")
    return docker_command


@pytest.fixture(scope="session", params=["training", "serving"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def image(docker: Docker, name: str) -> str:
    """byoc-NAME:cpu; a missing one is a failure, since `make images` could have made it."""
    tag = f"byoc-{name}:cpu"
    docker("image", "inspect", "--format", "{{.Id}}", tag)
    return tag


@pytest.fixture(scope="session")
def config(docker: Docker, image: str) -> dict[str, Any]:
    """What the image says of itself: `docker image inspect`."""
    inspected: list[dict[str, Any]] = json.loads(docker("image", "inspect", image))
    return inspected[0]


@pytest.fixture(scope="session")
def floor(docker: Docker) -> str:
    """The floor image, built in this run."""
    run_build("floor", "cpu")
    return "byoc-floor:cpu"


@pytest.fixture(scope="session")
def build(docker: Docker) -> Build:
    """build(WHAT, TAG, ROOT): docker/images.sh of the checkout in ROOT."""
    return run_build


def run_build(what: str, tag: str, root: Path = ROOT) -> None:
    """docker/images.sh of a checkout; its messages come with a failure."""
    done = subprocess.run(
        ["docker/images.sh", what, "--tag", tag],
        cwd=root,
        env={**os.environ, "BYOC_PROGRESS": "plain"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
