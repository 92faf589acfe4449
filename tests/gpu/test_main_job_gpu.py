"""The main job on a GPU: the precision that suits it, and an endpoint that says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from byoc.launch import programs

BYOC = str(Path(sys.executable).with_name("byoc"))


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_trains_in_the_gpu_s_own_precision_and_serves_the_same(tmp_path: Path) -> None:
    import torch

    fits = "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"
    done = subprocess.run(
        [BYOC, "demo", "--where", "process", "-Hprecision=auto"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"on {torch.cuda.get_device_name()} in {fits}" in done.stdout
    metrics = re.search(r"val_mcc=(\S+)", done.stdout[done.stdout.index("metrics:") :])
    assert metrics is not None
    assert float(metrics[1]) >= 0.8
    served = re.search(r"served: +(\d+) of (\d+) ", done.stdout)
    assert served is not None
    assert int(served[1]) >= 0.99 * int(served[2])
