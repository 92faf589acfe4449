"""A debugged job as a whole: resuming, rules that end it, faults that must not."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byoc import contract
from byoc.corpus import write_corpus
from byoc.debugger import names
from byoc.debugger.run import read
from byoc.training import debugging_settings
from byoc.training.checkpoint import Checkpoints
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.progress import Progress
from byoc.training.stopping import StopRequest
from debugged_training import CONFIG, run


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    write_corpus(tmp_path / "input" / "data", size=600)
    return tmp_path


def trial(tensors: Path) -> Any:
    from smdebug.trials import create_trial

    return create_trial(str(tensors))


def train_mode() -> Any:
    from smdebug.core.modes import ModeKeys

    return ModeKeys.TRAIN


QUIET = replace(CONFIG, debug_rules="none")


def test_a_job_that_goes_on_counts_on_and_takes_back_what_was_cut_off(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUIET, debug_save_interval=1, debug_eval_save_interval=1)
    (tree / "checkpoints").mkdir()
    stop, write = StopRequest(), Checkpoints.write

    def stop_at_12(self: Checkpoints, step: int, state: Any) -> Path:
        path = write(self, step, state)
        if step == 12:
            raise RuntimeError("cut off")
        return path

    saves_each_step = replace(config, checkpoint_seconds=1e-9)
    monkeypatch.setattr(Checkpoints, "write", stop_at_12)
    with pytest.raises(RuntimeError, match="cut off"):
        run(saves_each_step, stop)
    monkeypatch.setattr(Checkpoints, "write", write)
    tensors = tree / "output" / "data" / "debugger" / "tensors"
    # What the first run had saved beyond its last checkpoint.
    (tensors / "events" / "000000000099").mkdir()
    expected = trial(tensors).tensor(names.LOSS).values(mode=train_mode())
    assert list(expected) == [*range(12)]
    run(config)
    found = trial(tensors).tensor(names.LOSS).values(mode=train_mode())
    assert list(found) == [*range(18)]
    assert {step: found[step] for step in expected} == expected
    assert not (tensors / "events" / "000000000099").exists()
    assert read(tree).facts["first_step"] == 12


def test_a_stopped_job_leaves_what_was_saved(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest()
    stop.requested = False
    end = Progress.on_train_batch_end

    def ask(self: Progress, *args: Any, **kwargs: Any) -> None:
        stop.requested = self.step >= 4
        end(self, *args, **kwargs)

    monkeypatch.setattr(Progress, "on_train_batch_end", ask)
    with pytest.raises(StoppedError):
        run(QUIET, stop)
    found = read(tree)
    assert found.tensors is not None
    assert trial(found.tensors).steps(train_mode()) == [0, 1, 2, 3, 4]
    assert found.facts["ended"] > found.facts["started"]


def test_a_rule_may_end_training_with_its_model_saved(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        CONFIG,
        epochs=50,
        lr=1e-12,
        debug_save_interval=1,
        debug_rules='{"LossNotDecreasing": {"num_steps": 10, "diff_percent": 5}}',
        debug_actions="report; stop",
    )
    metrics = run(config)
    assert metrics["epoch"] < 10
    assert (tree / "model" / "model.safetensors").is_file()
    record = json.loads((tree / "output" / "data" / "metrics.json").read_text())
    assert record == {**metrics, "ended_by_rule": "LossNotDecreasing"}
    (result,) = json.loads((tree / "output" / "data" / "debugger" / "rules.json").read_text())
    assert result["status"] == "fired"
    assert "rule LossNotDecreasing fired at step" in capsys.readouterr().out


def test_a_quiet_rule_ends_nothing(tree: Path) -> None:
    config = replace(CONFIG, debug_rules="ExplodingTensor", debug_actions="stop")
    assert run(config)["epoch"] <= 2
    assert "ended_by_rule" not in json.loads(
        (tree / "output" / "data" / "metrics.json").read_text()
    )
    (result,) = json.loads((tree / "output" / "data" / "debugger" / "rules.json").read_text())
    assert result["status"] == "quiet"


# -- faults


def completes(capsys: pytest.CaptureFixture[str], said: str) -> None:
    metrics = run(QUIET)
    assert set(metrics) >= {"val_mcc", "epoch"}
    lines = [line for line in capsys.readouterr().out.splitlines() if "debugging" in line]
    assert len(lines) == 1, lines
    assert "training goes on" in lines[0]
    assert said in lines[0]


def test_a_folder_of_an_earlier_job(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(QUIET)
    capsys.readouterr()
    completes(capsys, "already exists")


def test_a_folder_that_cannot_be_made(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "output" / "data").mkdir(parents=True)
    (tree / "output" / "data" / "debugger").write_text("in the way")
    completes(capsys, "File exists")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ('{"CollectionConfigurations": [{"Name": "weights"}]}', "CollectionName"),
        ('{"HookParameters": {"save_interval": "often"}}', "often"),
        ('{"HookParameters": {"reductions": "median"}}', "reductions"),
    ],
)
def test_a_broken_file_of_sagemakers(
    tree: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    (tree / "input" / "config").mkdir()
    (tree / "input" / "config" / "debughookconfig.json").write_text(content)
    completes(capsys, said)


@pytest.fixture
def small_disk(tree: Path) -> Iterator[Path]:
    """A disk of 300 kB."""
    folder = tree / "small"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=300k") != 0:
        pytest.skip(f"cannot mount a small disk: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_a_full_disk(tree: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "input" / "config").mkdir()
    hook = {"LocalPath": str(small_disk / "tensors")}
    (tree / "input" / "config" / "debughookconfig.json").write_text(json.dumps(hook))
    completes(capsys, "No space left on device")
    assert not list(small_disk.rglob("*.tmp"))
    facts = read(tree).facts
    assert "No space left" in facts["debugging_ended"]


@pytest.mark.parametrize(
    "changes",
    [
        {"debug_rules": "NoSuchRule"},
        {"debug_rules": '{"VanishingGradient": {"treshold": 1}}'},
        {"debug_rules": "{"},
        {"debug_actions": "explode"},
        {"debug_actions": "command:"},
        {"debug_actions": "sns: topic"},
        {"debug_collections": "wieghts"},
        {"debug_collections": "[1]"},
    ],
)
def test_what_hyperparameters_ask_for_in_vain_is_told_before_any_work(
    changes: dict[str, str],
) -> None:
    with pytest.raises(TrainingFault, match="hyperparameters: debugging: "):
        debugging_settings.check(replace(CONFIG, **changes))


def test_nothing_of_it_is_imported_in_a_job_that_is_not_debugged(tree: Path) -> None:
    script = (
        "import sys\n"
        "from byoc.training import main\n"
        "try: main.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in sys.modules if m.startswith(('smdebug', 'byoc.debugger.capture.'))])\n"
        "print('byoc.debugger.engine' in sys.modules)\n"
    )
    (tree / "input" / "config").mkdir()
    settings = {"model-name-or-path": "scratch", "epochs": "1", "max-length": "32"}
    (tree / "input" / "config" / "hyperparameters.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tree
    )
    assert done.stdout.splitlines()[-2:] == [
        "['byoc.debugger.capture.settings']",
        "False",
    ]


def test_phases_operators_and_tokens(tree: Path) -> None:
    run(replace(QUIET, debug_profile_steps="3-5"))
    found = read(tree)
    assert found.phases is not None
    counted = {name: int((found.phases.names == name).sum()) for name in set(found.phases.names)}
    parts = ("Step", "DataLoading", "Forward", "Backward", "Optimizer")
    assert {name: counted[name] for name in parts} == dict.fromkeys(parts, 18)
    jobs = ("Initialization", "TrainLoop", "Finalization")
    assert {name: counted[name] for name in jobs} == dict.fromkeys(jobs, 1)
    assert counted["Validation"] == 2
    steps = found.phases.names == "Step"
    assert found.phases.steps[steps].tolist() == [*range(18)]
    starts, seconds = found.phases.starts[steps], found.phases.seconds[steps]
    assert (starts[1:] - (starts + seconds)[:-1] > -1e-3).all()
    within = {
        name: found.phases.seconds[(found.phases.names == name) & (found.phases.steps == 7)].sum()
        for name in parts
    }
    assert sum(within[name] for name in parts[1:]) <= within["Step"] * 1.01
    assert {"aten::addmm", "aten::mm"} <= {operator.name for operator in found.operators}
    assert all(operator.total_us > 0 for operator in found.operators)
    (trace,) = tree.rglob("*.pt.trace.json.gz")
    assert trace.stat().st_size > 1000
    assert 0 < found.facts["real_tokens"] <= found.facts["computed_tokens"]
    assert found.facts["peak_memory_bytes"] > 1 << 20


def test_smdebugs_profiler_reads_phases_and_system_metrics(tree: Path) -> None:
    run(QUIET)
    from smdebug.profiler.algorithm_metrics_reader import LocalAlgorithmMetricsReader
    from smdebug.profiler.system_metrics_reader import LocalSystemMetricsReader
    from smdebug.profiler.utils import TimeUnits

    profiler = tree / "output" / "data" / "debugger" / "profiler-output"
    found = read(tree)
    assert found.phases is not None
    begin, end = found.facts["started"] - 1, found.facts["ended"] + 1
    events = LocalAlgorithmMetricsReader(str(profiler)).get_events(begin, end, TimeUnits.SECONDS)
    steps = [event for event in events if event.event_phase == "Step:ModeKeys.TRAIN"]
    assert [event.event_args["step_num"] for event in steps] == [str(n) for n in range(18)]
    ours = found.phases.starts[found.phases.names == "Step"]
    assert np.allclose([event.start_time / 1e6 for event in steps], ours, atol=1e-3)
    samples = LocalSystemMetricsReader(str(profiler)).get_events(begin, end, TimeUnits.SECONDS)
    assert len(samples) == sum(len(series.times) for series in found.system)
    assert {sample.dimension for sample in samples} >= {"CPUUtilization"}
