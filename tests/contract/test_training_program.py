"""`train` as a program, with no container: a whole job, and one that is stopped."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from byoc import contract
from train_program import configure, finish, read_until, start, write_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    return write_tree(tmp_path)


def test_success_is_exit_0_and_no_failure_file(tree: Path) -> None:
    configure(tree, epochs="1")
    code, output, errors = finish(start(tree))
    assert (code, errors) == (0, "")
    assert "epoch=1 val_loss=" in output
    assert not (tree / "output" / "failure").exists()
    assert (tree / "model" / "model.safetensors").is_file()


def test_sigterm_stops_in_order_with_the_best_model_saved(tree: Path) -> None:
    configure(tree, epochs="10000", early_stopping_patience="0")
    process = start(tree)
    read_until(process, "epoch=1 ")
    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)
    assert code == 143, errors
    assert errors == "train: stopped by SIGTERM\n"
    assert not (tree / "output" / "failure").exists()
    assert "val_mcc" in json.loads((tree / "model" / "metrics.json").read_text())
    assert (tree / "model" / "model.safetensors").is_file()


def test_ctrl_c_is_a_failure_with_its_cause(tree: Path) -> None:
    configure(tree, epochs="10000", early_stopping_patience="0")
    process = start(tree)
    read_until(process, "epoch=1 ")
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 1
    assert (tree / "output" / "failure").read_text().startswith("interrupted\n")
    assert not (tree / "model" / "model.safetensors").exists()


def test_a_killed_loader_process_fails_the_job(tree: Path) -> None:
    configure(tree, epochs="10000", num_workers="1", early_stopping_patience="0")
    process = start(tree)
    read_until(process, "epoch=1 ")
    while process.poll() is None:  # each epoch has loaders of its own
        with contextlib.suppress(psutil.Error):
            for loader in psutil.Process(process.pid).children():
                loader.kill()
        time.sleep(0.01)
    assert finish(process)[0] == 1
    told = (tree / "output" / "failure").read_text()
    assert told.startswith("a loader process was killed: lower num-workers")
    assert not (tree / "model" / "model.safetensors").exists()
