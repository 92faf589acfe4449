"""`python -m byoc.bench.images`: what takes the space in the images, and how fast they start.

A cold start is measured from `docker run` to the first sign of work: training's first epoch of
a single step, serving's first 200 on /ping. Beside it stand a container that does nothing, and
the bare import of the same libraries in the same image: what no program of ours can undercut.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from rich.console import Console
from rich.table import Table

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus

TIMES = 3
"""Each start is measured so often; the median is shown, after one that nobody counts."""

LIMIT_SECONDS = 180.0

IMPORTS = {
    "training": "import torch, pytorch_lightning, transformers, datasets, sagemaker_training",
    "serving": "import torch, transformers, sagemaker_inference, mms",
}

GROUPS = {
    "torch": ("torch", "torchgen", "functorch"),
    "NVIDIA's wheels, triton": ("nvidia", "triton", "cuda"),
    "transformers, tokenizers, hub": (
        *("transformers", "tokenizers", "tokenizers.libs", "safetensors"),
        *("huggingface_hub", "hf_xet", "regex"),
    ),
    "lightning": ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "torchmetrics"),
    "datasets, pyarrow, pandas": ("datasets", "pyarrow", "pyarrow.libs", "pandas"),
    "numpy, scipy": ("numpy", "numpy.libs", "scipy", "scipy.libs"),
    "sympy, networkx (torch's needs)": ("sympy", "networkx", "mpmath"),
    "boto3": ("boto3", "botocore", "s3transfer"),
    "model server": ("mms", "model_archiver", "sagemaker_inference"),
}

_SIZES = """
import json, pathlib, sysconfig
def size(path):
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(size(inner) for inner in path.iterdir())
root = pathlib.Path(sysconfig.get_path("purelib"))
found = {path.name: size(path) for path in root.iterdir()}
found["/opt/program"] = size(pathlib.Path("/opt/program"))
print(json.dumps(found))
"""


class BenchError(Exception):
    """What could not be measured, in one line."""


def main() -> int:
    console = Console()
    tag = os.environ.get("ACCELERATOR") or "cpu"
    try:
        for name in ("training", "serving"):
            console.print(size_table(f"byoc-{name}:{tag}"))
        console.print(start_table(tag))
    except BenchError as error:
        print(f"bench-images: {error}", file=sys.stderr)
        return 1
    return 0


def size_table(image: str) -> Table:
    """What takes the space, in MB (10^6 bytes), largest first."""
    packages: dict[str, int] = json.loads(_run("run", "--rm", image, "python3", "-c", _SIZES))
    whole = int(_run("image", "inspect", "--format", "{{.Size}}", image))
    rows = group_sizes(packages)
    rows["Debian, Python, Java and nginx where it serves"] = whole - sum(rows.values())
    table = Table("part", "MB", "share", title=f"{image}: {whole / 1e6:.0f} MB uncompressed")
    for part, size in sorted(rows.items(), key=lambda row: -row[1]):
        table.add_row(part, f"{size / 1e6:.0f}", f"{size / whole:.0%}")
    return table


def group_sizes(packages: dict[str, int]) -> dict[str, int]:
    """Bytes by group, from bytes by name in site-packages; what no group names is the rest."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    group_of["/opt/program"] = "byoc"
    rows: dict[str, int] = {}
    for name, size in packages.items():
        group = group_of.get(name, "other packages")
        rows[group] = rows.get(group, 0) + size
    return rows


def start_table(tag: str) -> Table:
    table = Table("start", "training, s", "serving, s", title=f"cold starts, median of {TIMES}")
    images = {name: f"byoc-{name}:{tag}" for name in IMPORTS}
    table.add_row("container that does nothing", *_rows(images, lambda _name: ["true"]))
    table.add_row(
        "bare import of the libraries",
        *_rows(images, lambda name: ["python3", "-c", IMPORTS[name]]),
    )
    with tempfile.TemporaryDirectory() as folder:
        training = Path(folder) / "ml"
        _lay_out(training)
        first_step = _median(lambda: _until_first_step(images["training"], training))
        ready = _median(lambda: _until_ping(images["serving"], training / "model"))
        # What the container wrote belongs to root, perhaps not to us: a container takes it away.
        _run("run", "--rm", "-v", f"{training}:/ml", images["training"], "rm", "-rf", "/ml/output")
    table.add_row("first training step, first 200 on /ping", f"{first_step:.1f}", f"{ready:.1f}")
    return table


def _rows(images: dict[str, str], words: Callable[[str], list[str]]) -> Iterable[str]:
    for name, image in images.items():
        command = ["run", "--rm", "--network", "none", image, *words(name)]
        yield f"{_median(partial(_timed, command)):.1f}"


def _lay_out(tree: Path) -> None:
    """A job of one step: as many rows as a batch holds."""
    write_corpus(tree / "input/data", size=64)
    hyperparameters = EMBEDDED_HYPERPARAMETERS | {"epochs": "1", "batch-size": "64"}
    config = tree / "input/config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters), encoding="utf-8")


def _until_first_step(image: str, tree: Path) -> float:
    command = ["docker", "run", "--rm", "--network", "none", "-v", f"{tree}:/opt/ml", image]
    started = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        took, last = None, ""
        for line in job.stdout or []:
            last = line
            if took is None and line.startswith("epoch=1 "):
                took = time.monotonic() - started
    if took is None or job.returncode != 0:
        raise BenchError(f"{image} did not train: {last.strip()}")
    return took


def _until_ping(image: str, model: Path) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mounts = ["-v", f"{model}:/opt/ml/model:ro", "-p", f"127.0.0.1:{port}:8080"]
    started = time.monotonic()
    container = _run("run", "--detach", *mounts, image).strip()
    try:
        while not _ping(port):
            if time.monotonic() - started > LIMIT_SECONDS:
                raise BenchError(
                    f"{image} does not answer: {_run('logs', '--tail', '1', container)}"
                )
            time.sleep(0.05)
        return time.monotonic() - started
    finally:
        _run("rm", "--force", "--volumes", container)


def _ping(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _median(measure: Callable[[], float]) -> float:
    measure()  # the first finds nothing in the page cache
    return statistics.median(measure() for _ in range(TIMES))


def _timed(words: list[str]) -> float:
    started = time.monotonic()
    _run(*words)
    return time.monotonic() - started


def _run(*words: str) -> str:
    """stdout of `docker WORDS…`. Raises ``BenchError`` with docker's last line."""
    try:
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"docker: {error.strerror}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise BenchError(f"docker {words[0]}: {lines[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
