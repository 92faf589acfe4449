"""The training image as SageMaker runs it: `docker run` on a tree mounted at /opt/ml."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tree import lay_out

IMAGE = "byoc-training:cpu"


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no Docker engine: {error}")
    if asked.returncode != 0:
        pytest.skip(f"{IMAGE} is not there (`make images`): {asked.stderr.strip()}")


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Always without a network: data come through channels."""
    options = ["--rm", "--network", "none", "--volume", f"{tree}:/opt/ml"]
    return subprocess.run(
        ["docker", "run", *options, IMAGE, *command], capture_output=True, text=True
    )


def metrics(tree: Path) -> dict[str, float]:
    return dict(json.loads((tree / "output/data/metrics.json").read_text()))


def test_with_and_without_a_command_the_metrics_are_the_same(tmp_path: Path) -> None:
    for name, command in (("with", ["train"]), ("without", [])):
        lay_out(tmp_path / name)
        done = run(tmp_path / name, *command)
        assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "with") == metrics(tmp_path / "without")


def test_any_other_command_runs_too(tmp_path: Path) -> None:
    done = run(tmp_path, "bash", "-c", "echo $0 is here")
    assert done.stdout == "bash is here\n"


def nothing(tree: Path) -> None:
    for path in (tree / "input/data/train").iterdir():
        path.unlink()


def write(text: bytes) -> Callable[[Path], None]:
    return lambda tree: (tree / "input/data/train/train.tsv").write_bytes(text) and None


@pytest.mark.parametrize(
    ("spoil", "hyperparameters", "cause"),
    [
        (nothing, {}, "channel train holds no table"),
        (write(b""), {}, "empty"),
        (write(b"sentence\tlabel\na b\t1\nc d\t1\n"), {}, "one class only"),
        (write(b"sentence\tclass\na b\t1\n"), {}, "class"),
        (write(b"sentence\tlabel\na\xff b\t1\n"), {}, "UTF-8"),
        (lambda tree: None, {"learning_rate": "1"}, "learning_rate is unknown"),
        (lambda tree: None, {"epochs": "many"}, "epochs='many'"),
    ],
    ids=["no-table", "empty", "one-class", "no-column", "utf-8", "unknown", "wrong"],
)
def test_bad_input_is_a_failure_that_begins_with_the_cause(
    tmp_path: Path,
    spoil: Callable[[Path], None],
    hyperparameters: dict[str, str],
    cause: str,
) -> None:
    lay_out(tmp_path, **hyperparameters)
    spoil(tmp_path)
    done = run(tmp_path)
    assert done.returncode == 1
    told = (tmp_path / "output/failure").read_text().splitlines()[0]
    assert cause in told
    assert done.stderr.splitlines()[-1] == f"train: {told}"
    assert not (tmp_path / "model/model.safetensors").exists()


def test_sigterm_stops_in_order_with_the_best_model_so_far(tmp_path: Path) -> None:
    lay_out(tmp_path, epochs="1000", **{"early-stopping-patience": "0"})
    options = ["--rm", "--network", "none", "--volume", f"{tmp_path}:/opt/ml"]
    name = f"byoc-test-stop-{tmp_path.name}"
    command = ["docker", "run", *options, "--name", name, IMAGE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if line.startswith("epoch=1 "):
                break
        stopped = subprocess.run(["docker", "stop", "--time", "120", name], capture_output=True)
        training.stdout.read()
    assert stopped.returncode == 0
    assert training.returncode == 143
    assert (tmp_path / "model/model.safetensors").stat().st_size > 0
    assert metrics(tmp_path)["epoch"] >= 1
