"""A folder of checkpoints, as killed runs, full disks and other jobs leave it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from byoc.training.checkpoint import Checkpoints, State
from byoc.training.faults import TrainingFault

IDENTITY = {"lr": "5e-05", "data": "abc"}


def state(value: float) -> State:
    return State(
        {"model/weight": torch.full((2, 3), value), "optimizer/0/step": torch.tensor(value)},
        {"epoch": 1, "step_in_epoch": int(value)},
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", IDENTITY, keep=2)


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {
        "half": torch.randn(3, dtype=torch.bfloat16),
        "scalar": torch.tensor(7.5),
        "empty": torch.zeros(0),
        "turned": torch.randn(4, 5).T,
    }
    facts = {"epoch": 2, "step_in_epoch": 5, "best": {"val_mcc": 0.1 + 0.2}}
    checkpoints.write(12, State(dict(tensors), dict(facts)))
    found = checkpoints.newest()
    assert found is not None
    assert found.facts.items() >= facts.items()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert "resuming from checkpoint-000000012.safetensors: epoch 3, step 5" in (
        capsys.readouterr().out
    )


def test_no_folder_and_an_empty_one_hold_no_checkpoint(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None
    checkpoints.folder.mkdir()
    assert checkpoints.newest() is None


def test_only_the_newest_are_kept(checkpoints: Checkpoints) -> None:
    for step in (9, 10, 100):
        checkpoints.write(step, state(step))
    assert names(checkpoints) == [f"checkpoint-{step:09d}.safetensors" for step in (10, 100)]


def test_the_same_step_is_written_over(checkpoints: Checkpoints) -> None:
    for value in (1.0, 2.0):
        checkpoints.write(5, state(value))
    found = checkpoints.newest()
    assert found is not None
    assert found.tensors["optimizer/0/step"] == 2.0
    assert len(names(checkpoints)) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def zero(path: Path) -> None:
    path.write_bytes(b"")


def another_s(path: Path) -> None:
    Checkpoints(path.parent, {**IDENTITY, "lr": "1"}, keep=9).write(20, state(1))


def a_model(path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "it is not whole"),
        (zero, "it is not whole"),
        (flip_a_bit, "its checksum is wrong"),
        (another_s, "it is of another job: lr differ"),
        (a_model, "it was not written by this version of train"),
    ],
)
def test_what_is_not_a_whole_checkpoint_of_this_job_is_named_and_passed_over(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str], spoil, told: str
) -> None:
    checkpoints.write(10, state(10))
    spoil(checkpoints.write(20, state(20)))
    found = checkpoints.newest()
    assert found is not None
    assert found.tensors["optimizer/0/step"] == 10
    said = capsys.readouterr().out
    assert f"passing over checkpoint checkpoint-000000020.safetensors: {told}" in said


def test_what_sagemaker_is_still_uploading_is_no_checkpoint(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoints.write(10, state(10))
    path.rename(f"{path}.sagemaker-uploading")
    assert checkpoints.newest() is None
    assert capsys.readouterr().out == ""


def test_another_job_s_checkpoints_are_left_where_they_are(checkpoints: Checkpoints) -> None:
    other = Checkpoints(checkpoints.folder, {"lr": "1"}, keep=1)
    other.write(1, state(1))
    for step in (2, 3, 4):
        checkpoints.write(step, state(step))
    assert len(names(checkpoints)) == 3
    assert other.newest() is not None


def test_what_a_killed_run_left_half_written_is_taken_away(checkpoints: Checkpoints) -> None:
    checkpoints.folder.mkdir()
    (checkpoints.folder / "checkpoint-000000003.partial").write_bytes(b"half")
    checkpoints.write(4, state(4))
    assert names(checkpoints) == ["checkpoint-000000004.safetensors"]


def test_what_a_killed_run_had_no_time_to_take_away_goes_at_the_next_start(
    checkpoints: Checkpoints,
) -> None:
    for step in (1, 2, 3):
        Checkpoints(checkpoints.folder, IDENTITY, keep=9).write(step, state(step))
    (checkpoints.folder / "checkpoint-000000004.partial").write_bytes(b"half")
    assert checkpoints.newest() is not None
    assert names(checkpoints) == [f"checkpoint-{step:09d}.safetensors" for step in (2, 3)]


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingFault, match="cannot write a checkpoint to"):
        Checkpoints(tmp_path / "file", IDENTITY, keep=1).write(1, state(1))


def test_a_full_disk_leaves_the_older_checkpoint_and_no_torn_one(checkpoints: Checkpoints) -> None:
    """The limit on a file's size stands in for the disk: the write stops in the middle too."""
    checkpoints.write(1, state(1))
    script = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from byoc.training.checkpoint import Checkpoints, State\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        f"target = Checkpoints(Path(sys.argv[1]), {IDENTITY!r}, keep=1)\n"
        "facts = {'epoch': 0, 'step_in_epoch': 2}\n"
        "target.write(2, State({'x': torch.zeros(1 << 20)}, facts))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(checkpoints.folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    assert "TrainingFault: cannot write a checkpoint to" in done.stderr
    assert names(checkpoints) == ["checkpoint-000000001.safetensors"]
