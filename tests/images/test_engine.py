"""docker/engine.sh and docker/base.sh where they may or must do nothing; the engine stays as it is.

A made-up PATH stands in for machines without an engine: nothing is installed or started.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "env", "timeout", "grep", "cut", "head", "sed", "awk", "cat", "tail", "sleep")
NONE_CAN_RUN = 3


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with a few tools, a `docker` that reaches no engine, and nothing that changes much."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip()
        (folder / tool).symlink_to(found)
    program(folder, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    for forbidden in ("apt-get", "dockerd", "setsid", "pkill", "ip", "rm"):
        program(folder, forbidden, f"echo {forbidden} >>{tmp_path}/called; exit 1")
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def run(script: str, path: Path | None = None, **environment: str) -> Any:
    variables = {**os.environ, **environment}
    if path is not None:
        variables["PATH"] = str(path)
    return subprocess.run(
        [str(ROOT / "docker" / script)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def called(bare: Path) -> str:
    record = bare.parent / "called"
    return record.read_text() if record.exists() else ""


def test_never_forbids_to_set_up_an_engine(bare: Path) -> None:
    program(bare, "id", "echo 0")
    done = run("engine.sh", bare, BYOC_DOCKER_SETUP="never")
    assert done.returncode == NONE_CAN_RUN
    assert len(done.stderr.splitlines()) == 1
    assert "BYOC_DOCKER_SETUP=never" in done.stderr
    assert called(bare) == ""


def test_without_root_it_says_what_to_do(bare: Path) -> None:
    program(bare, "id", "echo 1000")
    done = run("engine.sh", bare, BYOC_DOCKER_SETUP="")
    assert done.returncode == NONE_CAN_RUN
    assert len(done.stderr.splitlines()) == 1
    assert "root" in done.stderr
    assert called(bare) == ""


def test_a_running_engine_is_left_alone(docker: Any) -> None:
    before = docker("info", "--format", "{{.ID}} {{.SystemTime}}").split()[0]
    processes = engines()
    for setup in ("", "never"):
        done = run("engine.sh", BYOC_DOCKER_SETUP=setup)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    assert docker("info", "--format", "{{.ID}}").strip() == before
    assert engines() == processes


def engines() -> str:
    return subprocess.run(["pgrep", "-x", "dockerd"], capture_output=True, text=True).stdout


def test_the_base_that_is_there_is_taken_and_named_on_one_line(docker: Any) -> None:
    done = run("base.sh")
    assert done.returncode == 0, done.stderr
    (name,) = done.stdout.splitlines()
    docker("image", "inspect", "--format", "{{.Id}}", name)
    again = run("base.sh", BASE_IMAGE=name)
    assert again.stdout == f"{name}\n"


def test_a_base_that_cannot_be_had_is_named(docker: Any) -> None:
    done = run("base.sh", BASE_IMAGE="registry.invalid/none:at-all")
    assert done.returncode not in (0, NONE_CAN_RUN)
    assert done.stdout == ""
    assert "registry.invalid/none:at-all" in done.stderr.splitlines()[-1]
