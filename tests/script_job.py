"""Script mode for tests: a tree with a source directory, and `train` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TRAIN = (sys.executable, "-m", "byoc.training.main")


class Job:
    """A tree with a source directory, and `train` on it."""

    def __init__(self, tree: Path) -> None:
        self.tree, self.source, self.code = tree, tree / "source", tree / "code"
        self.failure = tree / "output" / "failure"
        self.source.mkdir()
        (tree / "input" / "config").mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)

    def configure(self, program: str = "mine.py", **values: object) -> None:
        given = {
            "sagemaker_program": json.dumps(program),
            "sagemaker_submit_directory": json.dumps(str(self.source)),
            **values,
        }
        self.config("hyperparameters", {k: v for k, v in given.items() if v is not None})

    def config(self, name: str, content: object) -> None:
        path = self.tree / "input" / "config" / f"{name}.json"
        path.write_text(json.dumps(content))

    def start(self, command: tuple[str, ...] = TRAIN, **variables: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def run(self, **variables: str) -> tuple[int, str, str]:
        return finish(self.start(**variables))

    def told(self) -> str:
        return self.failure.read_text()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors
