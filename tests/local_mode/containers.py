"""What tests of local mode need: an engine, our images, and a look at the containers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from byoc.launch.errors import LaunchError
from byoc.launch.local import engine_fault, need_image

TRAINING, SERVING = "byoc-training:cpu", "byoc-serving:cpu"


def skip_without(*images: str) -> None:
    """Skips the test where no engine answers, or an image is not there."""
    cause = engine_fault()
    if cause:
        pytest.skip(f"no Docker engine: {cause}")
    for image in images:
        try:
            need_image(image)
        except LaunchError as error:
            pytest.skip(str(error))


def containers_of(place: Path) -> str:
    """Containers whose compose file lies under this test's folder, running or not."""
    return "\n".join(file for _, file in _listed(place))


def remove_stopped(place: Path) -> None:
    """Of those the ones that have ended; one that runs stays, and is seen."""
    for identity, _ in _listed(place):
        subprocess.run(["docker", "rm", identity], capture_output=True)


def _listed(place: Path) -> list[tuple[str, str]]:
    """(id, compose file) of each."""
    form = '{{.ID}} {{.Label "com.docker.compose.project.config_files"}}'
    listed = subprocess.run(
        ["docker", "ps", "-a", "--format", form], capture_output=True, text=True, check=True
    )
    pairs = [line.partition(" ") for line in listed.stdout.splitlines()]
    return [(identity, file) for identity, _, file in pairs if file.startswith(str(place))]
