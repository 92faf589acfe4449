"""`train` as a program, on a tree with the embedded corpus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus


def write_tree(tree: Path) -> Path:
    write_corpus(tree / "input" / "data", size=400)
    (tree / "input" / "config").mkdir()
    return tree


def configure(tree: Path, **hyperparameters: str) -> None:
    names = {name.replace("_", "-"): value for name, value in hyperparameters.items()}
    path = tree / "input" / "config" / "hyperparameters.json"
    path.write_text(json.dumps({**EMBEDDED_HYPERPARAMETERS, **names}))


def start(tree: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "byoc.training.main"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text} never came: {process.communicate()[1]}")
