"""`train` as a program: exit codes, the failure file, signals, script mode."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from byoc import contract
from byoc.training import main as program
from byoc.training.faults import TrainingFault
from train_program import configure, finish, start, write_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return write_tree(tmp_path)


def test_a_bad_hyperparameter_ends_the_job(tree: Path) -> None:
    configure(tree, epoch="1")
    code, output, errors = finish(start(tree))
    cause = "hyperparameters: epoch is unknown: did you mean epochs?"
    assert (code, output, errors) == (1, "", f"train: {cause}\n")
    assert (tree / "output" / "failure").read_text() == f"{cause}\n"


def test_the_program_itself_imports_nothing_heavy() -> None:
    check = "import sys, byoc.training.main; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_base_model_that_is_out_of_reach_is_told_within_seconds(tree: Path) -> None:
    configure(tree, model_name_or_path="nobody/nothing")
    began = time.monotonic()
    code, _, errors = finish(start(tree))
    assert code == 1
    assert errors.startswith("train: model nobody/nothing cannot be fetched")
    assert errors.count("\n") == 1
    assert time.monotonic() - began < 60


def after_a_loader() -> RuntimeError:
    """An error that comes up while that of a killed loader is being handled."""
    later = RuntimeError("Please start anew")
    later.__context__ = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    return later


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TrainingFault("channel train is missing"), "channel train is missing"),
        (SystemExit(0), "something called exit(0) during training"),
        (SystemExit(3), "something called exit(3) during training"),
        (KeyboardInterrupt(), "interrupted"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
        (
            MemoryError(),
            "out of memory: lower batch-size, raise gradient-accumulation-steps, or "
            "take a larger instance (MemoryError)",
        ),
        (ValueError("x.json is not valid JSON"), "x.json is not valid JSON"),
        (
            after_a_loader(),
            "a loader process was killed: lower num-workers (0 needs none), or give the container "
            "more memory and shared memory (DataLoader worker (pid 7) is killed by signal: "
            "Killed.)",
        ),
    ],
)
def test_whatever_ends_the_job_is_exit_1_with_its_cause_first(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    cause: str,
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(program, "_run", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        program.main()
    assert caught.value.code == 1
    assert (tree / "output" / "failure").read_text().startswith(f"{cause}\n")
    assert capsys.readouterr().err.endswith(f"train: {cause}\n")


def test_a_failure_file_that_cannot_be_written_does_not_hide_the_failure(tree: Path) -> None:
    configure(tree, epochs="none")
    (tree / "output").write_text("a file where a folder should be")
    assert finish(start(tree))[0] == 1


def test_an_unwritable_model_folder_is_told_before_training(tree: Path) -> None:
    configure(tree)
    (tree / "model").write_text("a file where a folder should be")
    code, output, errors = finish(start(tree))
    assert (code, output) == (1, "")
    assert errors.startswith(f"train: cannot write to {tree / 'model'}")
