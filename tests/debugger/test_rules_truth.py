"""The short form of `make test-debugger`: two planted faults, one healthy job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from byoc.debugger.rules.registry import TENSOR_RULES


def test_rules_find_planted_faults_and_leave_a_healthy_job(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "byoc.bench.rule_truth", "--out", str(tmp_path)),
            *("--only", "lr-0-0,frozen-layer-0,scratch-0.001-0"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("1/", "2/", "3/"))]
    assert len(lines) == 3, done.stdout + done.stderr
    assert not any("MISSED" in line for line in lines), lines
    (healthy,) = (line for line in lines if ": healthy; " in line)
    alarmed = healthy.split("recommended: ")[1].split(" (")[0].split(", ")
    # Of the profiler rules a busy machine may trip some: its steps are slow indeed.
    assert not {rule.__name__ for rule in TENSOR_RULES} & set(alarmed), healthy
    assert "aws: 2 of 2 planted faults found" in done.stdout
    assert "recommended: 2 of 2 planted faults found" in done.stdout
