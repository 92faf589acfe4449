"""Several processes that train together: two on one host, and two hosts of one each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ml_tree import lay_out

# Without dropout, whose masks differ from process to process, only rounding is left to differ.
SAME = {"dropout": "0", "epochs": "2", "batch-size": "48"}
ENDLESS = {"epochs": "1000", "early-stopping-patience": "0"}


@contextmanager
def started(tree: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tree), "SM_STUDIO_LOCAL_MODE": "true"}
    with (tree / "log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "train")],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def finish(tree: Path) -> int:
    with started(tree) as process:
        return process.wait(timeout=300)


def log(tree: Path) -> str:
    return (tree / "log").read_text()


def wait_for(tree: Path, text: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while text not in log(tree):
        assert time.monotonic() < end, log(tree)
        time.sleep(0.05)


def metrics(tree: Path) -> dict[str, float]:
    return dict(json.loads((tree / "output/data/metrics.json").read_text()))


def as_host(tree: Path, current: str, hosts: list[str]) -> None:
    content = {"current_host": current, "hosts": hosts, "network_interface_name": "lo"}
    (tree / "input/config/resourceconfig.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The metrics of one process."""
    tree = tmp_path_factory.mktemp("alone")
    lay_out(tree, **SAME)
    assert finish(tree) == 0, log(tree)
    return metrics(tree)


def test_two_processes_on_a_host_give_the_metrics_of_one(
    tmp_path: Path, alone: dict[str, float]
) -> None:
    lay_out(tmp_path, **SAME, **{"processes-per-host": "2"})
    assert finish(tmp_path) == 0, log(tmp_path)
    assert metrics(tmp_path) == pytest.approx(alone, abs=1e-3)
    assert (tmp_path / "model/model.safetensors").is_file()


def test_two_hosts_give_the_metrics_of_one(tmp_path: Path, alone: dict[str, float]) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]
    trees = [tmp_path / name for name in hosts]
    for tree, host in zip(trees, hosts, strict=True):
        lay_out(tree, **SAME)
        as_host(tree, host, hosts)
    with started(trees[0]) as first, started(trees[1]) as second:
        assert (first.wait(300), second.wait(300)) == (0, 0), log(trees[0]) + log(trees[1])
    assert metrics(trees[0]) == pytest.approx(alone, abs=1e-3)
    assert (trees[0] / "model/model.safetensors").is_file()
    assert not (trees[1] / "model/model.safetensors").exists()


def test_sigterm_stops_all_in_order_and_they_go_on_together(tmp_path: Path) -> None:
    lay_out(tmp_path, **ENDLESS, **{"processes-per-host": "2"})
    with started(tmp_path) as process:
        wait_for(tmp_path, "epoch=1 ")
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert process.wait(60) == 143, log(tmp_path)
        assert time.monotonic() - asked < 20
    assert (tmp_path / "model/model.safetensors").is_file()
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 1
    with started(tmp_path) as process:
        wait_for(tmp_path, "resuming from checkpoint-")
        wait_for(tmp_path, "training scratch")


def test_a_killed_process_fails_the_job_with_the_cause(tmp_path: Path) -> None:
    lay_out(tmp_path, **ENDLESS, **{"processes-per-host": "2"})
    with started(tmp_path) as process:
        wait_for(tmp_path, "epoch=1 ")
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "byoc.training.worker" in " ".join(child.cmdline()[:5])
        ]
        assert len(workers) == 2
        workers[1].kill()
        assert process.wait(60) == 1
    assert (tmp_path / "output/failure").read_text().startswith("process ")
    assert "was killed" in log(tmp_path).splitlines()[-1]
    assert not (tmp_path / "model/model.safetensors").exists()


def test_a_killed_host_fails_the_others(tmp_path: Path) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]
    trees = [tmp_path / name for name in hosts]
    for tree, host in zip(trees, hosts, strict=True):
        lay_out(tree, **ENDLESS)
        as_host(tree, host, hosts)
    with started(trees[0]) as first, started(trees[1]) as second:
        wait_for(trees[0], "epoch=1 ")
        second.kill()
        assert first.wait(60) == 1
    assert "another of the processes" in (trees[0] / "output/failure").read_text()
