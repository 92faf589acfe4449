"""docs/guide/cola.sh, the guide's own text, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from containers import SERVING, TRAINING, containers_of, skip_without

SCRIPT = Path(__file__).parents[2] / "docs/guide/cola.sh"
SHORT = {"SIZE": "800", "EPOCHS": "1", "TRIALS": "2"}
LIMIT = 15 * 60
"""Seconds in which the whole path in local mode must be done."""


def _run(folder: Path, where: str, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, "PATH": path, "WHERE": where, "NAME": "guide", **variables}
    with (folder / "log").open("w") as log:
        done = subprocess.run([SCRIPT], cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT)
    said = (folder / "log").read_text()
    assert done.returncode == 0, said[-4000:]
    return said


def _look(folder: Path, said: str, rows: int) -> None:
    """What a reader of the guide has at the end."""
    for name in ("explore.html", "out/tune/guide/tuning.html", "report/report.html"):
        assert "<html" in (folder / name).read_text()
    assert (folder / "out/jobs/guide/output/model.tar.gz").is_file()
    assert len(list(folder.glob("out/tune/guide/jobs/*/output/model.tar.gz"))) >= 1
    assert "The keys near the cabinet are heavy." in said
    (output,) = folder.glob("out/transform/**/*.out")
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(lines) == rows
    assert "guide is down" in said


def test_the_whole_path_runs_in_processes(tmp_path: Path) -> None:
    said = _run(tmp_path, "process", **SHORT)
    _look(tmp_path, said, rows=4)


@pytest.mark.skipif(not os.environ.get("BYOC_LONG"), reason="BYOC_LONG=1: ten minutes")
def test_the_whole_path_runs_in_local_mode_within_15_minutes(tmp_path: Path) -> None:
    skip_without(TRAINING, SERVING)
    start = time.monotonic()
    said = _run(tmp_path, "local")
    seconds = time.monotonic() - start
    print(f"the guide's path in local mode: {seconds:.0f} s")
    _look(tmp_path, said, rows=4)
    assert not containers_of(tmp_path)
    assert seconds <= LIMIT


def test_a_step_that_fails_ends_the_script_and_says_how_to_clean_up(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, "PATH": path, "DATA": "none.csv", "NAME": "guide"}
    done = subprocess.run([SCRIPT], cwd=tmp_path, env=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert "none.csv" in done.stderr
    assert "byoc down --where process guide" in done.stderr
    assert not (tmp_path / "explore.html").exists()
