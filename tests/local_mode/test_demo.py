"""`byoc demo` as a newcomer runs it, in child processes, on a small corpus."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from byoc.corpus import write_corpus
from byoc.launch import programs

BYOC = str(Path(sys.executable).with_name("byoc"))


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_the_endpoint_says_what_training_said(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data", size=1200)
    command = [BYOC, "demo", "--where", "process", "--data", "data", "-Hepochs=2"]
    options = ["-Hmodel-name-or-path=scratch", "-Hlr=1e-3", "-Hmax-length=16"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    served = re.search(r"served: +(\d+) of (\d+) .* mcc=(\S+)", done.stdout)
    metrics = re.search(r"metrics: (\S+) .*val_mcc=(\S+)", done.stdout)
    assert served is not None
    assert metrics is not None
    assert served[1] == served[2] == "120"
    assert float(served[3]) == pytest.approx(float(metrics[2]), abs=1e-3)
    for name in ("model", "metrics", "log"):
        found = re.search(rf"^{name}: +(\S+)", done.stdout, flags=re.MULTILINE)
        assert found is not None
        assert Path(found[1]).stat().st_size > 0


def test_data_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [BYOC, "demo", "--where", "process", "--data", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
