"""Pipe mode: `train` refuses it at once, and never waits at a FIFO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from byoc import contract


@pytest.mark.parametrize(
    ("channels", "fifo", "cause"),
    [
        ({"train": {"TrainingInputMode": "Pipe"}}, "train_0", "channel train is in Pipe mode"),
        # Local mode's file says File whatever was asked for; a tree made by hand has none.
        ({"train": {"TrainingInputMode": "File"}}, "train_0", "channel train"),
        (None, "train_0", "channel train"),
        (None, "train/train.tsv", "channel train"),
    ],
    ids=["declared", "declared-as-file", "undeclared", "in-the-folder"],
)
def test_a_fifo_is_a_failure_and_never_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    channels: dict[str, object] | None,
    fifo: str,
    cause: str,
) -> None:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text('{"model-name-or-path": "scratch"}')
    if channels is not None:
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
    path = tmp_path / "input" / "data" / fifo
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    command = [sys.executable, "-m", "byoc.training.main"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    told = (tmp_path / "output" / "failure").read_text()
    assert told.startswith(cause), told
    assert done.stderr == f"train: {told}"
