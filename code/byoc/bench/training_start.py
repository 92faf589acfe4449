"""From `docker run` to the first optimizer step, and what of it the bare imports take."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from byoc.bench.training_data import lay_out

IMPORTS = "import torch, transformers, pytorch_lightning"

# `train` itself, but that it says when its first step is done, and ends there. Whatever it
# imports, it imports as ever: the class is patched once it is there.
FIRST_STEP = """
import contextlib, os, sys
from byoc.training import libraries, main
ours = libraries.importing
@contextlib.contextmanager
def importing():
    with ours():
        yield
    if "byoc.training.progress" not in sys.modules:
        return
    from byoc.training.progress import Progress
    end = Progress.on_train_batch_end
    def first(*words, **names):
        end(*words, **names)
        print("first step", flush=True)
        os._exit(0)
    Progress.on_train_batch_end = first
libraries.importing = importing
main.main()
"""


@dataclass(frozen=True)
class Start:
    """Medians in seconds, container included; ``ratio``: of the rounds' ratios."""

    first_step: float
    imports: float
    ratio: float


def engine_fault(image: str) -> str | None:
    """Why no container of ``image`` can run here, or None."""
    if shutil.which("docker") is None:
        return "no Docker engine here"
    done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if done.returncode == 0:
        return None
    said = done.stderr.decode().strip().splitlines()[-1:]
    return f"no image {image} here: {' '.join(said)}"


def measure(image: str, scratch: Path, channels: dict[str, Path], rounds: int) -> Start:
    """Rounds of both, in turns, after one that nobody counts."""
    tree = lay_out(scratch / "start", channels, {"epochs": "1", "max-length": "256"})
    found = []
    for number in range(rounds + 1):
        pair = _seconds(image, tree, FIRST_STEP), _seconds(image, tree, IMPORTS)
        if number:
            found.append(pair)
    return Start(
        median(step for step, _ in found),
        median(imports for _, imports in found),
        median(step / imports for step, imports in found),
    )


def _seconds(image: str, tree: Path, program: str) -> float:
    words = ["docker", "run", "--rm", "--network", "none", "-v", f"{tree}:/opt/ml"]
    started = time.monotonic()
    done = subprocess.run(
        [*words, image, "python3", "-c", program], capture_output=True, text=True, check=False
    )
    took = time.monotonic() - started
    if done.returncode or (program is FIRST_STEP and "first step" not in done.stdout):
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"{image} did not get to its first step: {json.dumps(said)}")
    return took
