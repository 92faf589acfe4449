"""`--where process`: the image's own programs as child processes; no Docker.

The tree of each job and endpoint is laid out as /opt/ml in a folder of its own, which
SAGEMAKER_BASE_DIR names to the programs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from byoc.contract import BASE_DIR_VARIABLE
from byoc.launch.errors import LaunchError
from byoc.launch.programs import ensure_programs
from byoc.launch.state import Record
from byoc.launch.supervised import SupervisedClient

TREE = "ml"
"""The folder in a record that stands for /opt/ml."""


class ProcessClient(SupervisedClient):
    """Runs `train` and `serve` of the running interpreter's environment."""

    where = "process"
    honoured = frozenset({"CheckpointConfig", "MaxConcurrentTransforms", "ModelClientConfig"})

    def need(self, name: str, _image: str) -> None:
        program(name)
        if name == "serve":
            ensure_programs(self._say)

    def job_command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "byoc.launch.process_job", str(folder)]

    def transform_command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "byoc.launch.process_transform", str(folder)]

    def endpoint_command(self, _folder: Path) -> Sequence[str]:
        return [str(program("serve"))]

    def endpoint_environment(self, record: Record) -> dict[str, str]:
        state = record.read("state.json")
        return {
            **state["Container"].get("Environment", {}),
            BASE_DIR_VARIABLE: str(record.folder / TREE),
            "SAGEMAKER_BIND_TO_PORT": str(state["Port"]),
        }


def program(name: str) -> Path:
    """A console script beside the running interpreter; raises ``LaunchError`` without it."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise LaunchError(f"there is no {path}: install byoc with its extras (make setup)")
    return path
