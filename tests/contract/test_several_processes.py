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
TWO = {"processes-per-host": "2"}
HOSTS = ["127.0.0.1", "127.0.0.2"]
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


def patience(seconds: float) -> float:
    """So long, or longer where the machine is busy with other work."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def finish(tree: Path) -> int:
    with started(tree) as process:
        return process.wait(patience(300))


def stop(tree: Path, process: subprocess.Popen[str]) -> None:
    """SIGTERM, and an orderly end within 20 s."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(20)) == 143, log(tree)
    assert not (tree / "output/failure").exists()


def log(tree: Path) -> str:
    return (tree / "log").read_text()


def wait_for(tree: Path, text: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + patience(seconds)
    while text not in log(tree):
        assert time.monotonic() < end, log(tree)
        time.sleep(0.05)


def hears(process: subprocess.Popen[str]) -> bool:
    """Whether it has a handler of SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


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


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of a job of two processes."""
    tree = tmp_path_factory.mktemp("together")
    lay_out(tree, **SAME, **TWO)
    assert finish(tree) == 0, log(tree)
    return tree


def two_hosts(folder: Path, **changes: str) -> list[Path]:
    """The trees of a job on two hosts."""
    trees = [folder / name for name in HOSTS]
    for tree, host in zip(trees, HOSTS, strict=True):
        lay_out(tree, **changes)
        as_host(tree, host, HOSTS)
    return trees


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train, of a running `train`."""
    return [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "byoc.training.worker" in " ".join(child.cmdline()[:5])
    ]


def test_two_processes_on_a_host_give_the_metrics_of_one(
    together: Path, alone: dict[str, float]
) -> None:
    assert metrics(together) == pytest.approx(alone, abs=1e-3)
    assert (together / "model/model.safetensors").is_file()


def test_two_hosts_give_the_metrics_of_one(tmp_path: Path, alone: dict[str, float]) -> None:
    trees = two_hosts(tmp_path, **SAME)
    with started(trees[0]) as first, started(trees[1]) as second:
        codes = (first.wait(patience(300)), second.wait(patience(300)))
    assert codes == (0, 0), log(trees[0]) + log(trees[1])
    assert metrics(trees[0]) == pytest.approx(alone, abs=1e-3)
    assert (trees[0] / "model/model.safetensors").is_file()
    assert not (trees[1] / "model/model.safetensors").exists()


def test_stops_at_several_moments_leave_the_metrics_as_they_are(
    tmp_path: Path, together: Path
) -> None:
    """One job, stopped again and again: in its start, before and in an epoch, while it scores."""
    lay_out(tmp_path, **SAME, **TWO, **{"checkpoint-seconds": "0"})
    (tmp_path / "checkpoints").mkdir()
    with started(tmp_path) as process:
        while not hears(process):
            time.sleep(0.01)
        time.sleep(0.5)  # any moment of the imports and the preparation will do
        stop(tmp_path, process)
    assert not (tmp_path / "model/model.safetensors").exists()
    for line in ("training scratch", "epoch=1 ", "epoch=2 "):
        with started(tmp_path) as process:
            wait_for(tmp_path, line)
            stop(tmp_path, process)
        has_state = any((tmp_path / "checkpoints").glob("*.safetensors"))
        assert has_state or line == "training scratch"
        assert (tmp_path / "model/model.safetensors").is_file() == has_state
        assert (tmp_path / "output/data/metrics.jsonl").is_file() == has_state
    assert finish(tmp_path) == 0, log(tmp_path)
    assert "training had ended with epoch 2" in log(tmp_path)
    assert metrics(tmp_path) == pytest.approx(metrics(together), abs=1e-6)
    predictions = "output/data/validation_predictions.csv"
    assert (tmp_path / predictions).read_text() == (together / predictions).read_text()


def test_sigterm_to_one_host_stops_all_in_order(tmp_path: Path) -> None:
    trees = two_hosts(tmp_path, **ENDLESS)
    with started(trees[0]) as first, started(trees[1]) as second:
        wait_for(trees[0], "epoch=1 ")
        stop(trees[1], second)
        assert first.wait(patience(20)) == 143, log(trees[0])
    assert not (trees[0] / "output/failure").exists()
    assert (trees[0] / "model/model.safetensors").is_file()
    assert len(list((trees[0] / "checkpoints").glob("*.safetensors"))) == 1


def test_a_killed_process_fails_the_job_with_the_cause(tmp_path: Path) -> None:
    lay_out(tmp_path, **ENDLESS, **TWO)
    with started(tmp_path) as process:
        wait_for(tmp_path, "epoch=1 ")
        found = workers(process)
        assert len(found) == 2
        found[1].kill()
        assert process.wait(patience(60)) == 1
    assert (tmp_path / "output/failure").read_text().startswith("process ")
    assert "was killed" in log(tmp_path).splitlines()[-1]
    assert not (tmp_path / "model/model.safetensors").exists()


def test_a_killed_process_fails_every_host_with_a_cause(tmp_path: Path) -> None:
    trees = two_hosts(tmp_path, **ENDLESS)
    with started(trees[0]) as first, started(trees[1]) as second:
        wait_for(trees[0], "epoch=1 ")
        workers(second)[0].kill()
        codes = (first.wait(patience(60)), second.wait(patience(60)))
    assert codes == (1, 1), log(trees[0]) + log(trees[1])
    assert "another of the processes" in (trees[0] / "output/failure").read_text()
    assert (trees[1] / "output/failure").read_text().startswith("process ")
    assert not [tree for tree in trees if (tree / "model/model.safetensors").exists()]


@pytest.mark.skipif(not os.environ.get("BYOC_LONG"), reason="as the one above: make test-kill")
def test_a_killed_host_fails_the_others(tmp_path: Path) -> None:
    trees = two_hosts(tmp_path, **ENDLESS)
    with started(trees[0]) as first, started(trees[1]) as second:
        wait_for(trees[0], "epoch=1 ")
        second.kill()
        assert first.wait(patience(60)) == 1
    assert "another of the processes" in (trees[0] / "output/failure").read_text()
