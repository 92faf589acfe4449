"""Estimator of the SageMaker SDK's version 2, fit() and deploy(), against both images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from containers import SERVING, TRAINING, containers_of, remove_stopped, skip_without

from byoc.corpus import write_corpus

ROOT = Path(__file__).parents[2]
HYPERPARAMETERS = {
    "model-name-or-path": "scratch",
    "label-names": "unacceptable,acceptable",
    "epochs": 1,
    "max-length": 16,
}


@pytest.mark.skipif(not os.environ.get("BYOC_LONG"), reason="BYOC_LONG=1: another SDK, a minute")
def test_an_estimator_trains_and_deploys(tmp_path: Path) -> None:
    skip_without(TRAINING, SERVING)
    made = subprocess.run(
        [ROOT / "docker/sdk_v2.sh", sys.prefix], capture_output=True, text=True, check=True
    )
    write_corpus(tmp_path / "data", seed=3, size=200)
    (tmp_path / "hyperparameters.json").write_text(json.dumps(HYPERPARAMETERS))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [made.stdout.strip(), ROOT / "tests/sdk_v2_client.py", tmp_path],
        capture_output=True,
        text=True,
        env=environment,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert [it["label"] in ("acceptable", "unacceptable") for it in told["answers"]] == [True] * 2
    assert "val_mcc=" in said
    assert told["model"].startswith("file://")
    assert Path(told["model"].removeprefix("file://")).is_file()
    remove_stopped(tmp_path)  # version 2 leaves its stopped containers
    assert containers_of(tmp_path) == ""
