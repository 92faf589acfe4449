"""A job's output read back, in each form that it comes in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from byoc import archive
from byoc.debugger.places import RunError
from byoc.debugger.run import read

# As AWS's documentation shows a line of the platform's own metrics.
DOCUMENTED = (
    '{"Type":"gpu","Name":"gpu0","Dimension":"GPUUtilization","Value":8.0,"NodeId":"algo-1",'
    '"Timestamp":1591160699.757}'
)


def sample(value: float, time: float, **others: object) -> str:
    cpu = {"Type": "cpu", "Name": "cpu0", "Dimension": "CPUUtilization", "NodeId": "algo-1"}
    return json.dumps({**cpu, "Value": value, "Timestamp": time, **others})


def write_metrics(profiler: Path, *lines: str, name: str = "1591160640.algo-1.json") -> Path:
    path = profiler / "system" / "incremental" / "2020060305" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_phases(profiler: Path, text: str) -> None:
    path = profiler / "framework" / "pevents" / "2020060305"
    path.mkdir(parents=True, exist_ok=True)
    (path / "1591160700000000_0-algo-1_pythontimeline.json").write_text(text)


def test_lines_of_the_documented_form_are_series_in_order_of_time(tmp_path: Path) -> None:
    write_metrics(
        tmp_path, DOCUMENTED, sample(3, 11.0), sample(1, 10.0), sample(9, 10.5, Name="cpu1")
    )
    write_metrics(tmp_path, sample(2, 12.0), name="1591160700.algo-1.json")
    cpu0, cpu1, gpu0 = read(tmp_path).system
    assert (gpu0.node, gpu0.kind, gpu0.name, gpu0.dimension) == (
        "algo-1",
        "gpu",
        "gpu0",
        "GPUUtilization",
    )
    assert gpu0.times.tolist() == [1591160699.757]
    assert cpu0.times.tolist() == [10.0, 11.0, 12.0]
    assert cpu0.values.tolist() == [1.0, 3.0, 2.0]
    assert cpu1.values.tolist() == [9.0]


def test_a_torn_last_line_costs_that_line_only(tmp_path: Path) -> None:
    path = write_metrics(tmp_path, *(sample(number, number) for number in range(5)))
    with path.open("a") as stream:
        stream.write('{"Type":"cpu","Name":"cp')
    write_metrics(tmp_path, sample(5, 5), "[1]", '{"Value": "x"}', name="1591160700.algo-1.json")
    (series,) = read(tmp_path).system
    assert series.values.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_line_without_a_name_has_an_empty_one(tmp_path: Path) -> None:
    line = {"Type": "memory", "Dimension": "Used", "NodeId": "algo-1"}
    write_metrics(tmp_path, json.dumps({**line, "Value": 1, "Timestamp": 2.0}))
    (series,) = read(tmp_path).system
    assert (series.kind, series.name) == ("memory", "")


@pytest.mark.parametrize("closed", [True, False])
def test_phases_of_smdebugs_timeline(tmp_path: Path, closed: bool) -> None:
    start = {"start_time_since_epoch_in_micros": 1_000_000}
    events = [
        {"name": "process_name", "ph": "M", "pid": 0, "args": start},
        {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "Step:ModeKeys.TRAIN"}},
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "cpu_functions"}},
        {"name": "s", "pid": 0, "ph": "X", "ts": 5e5, "dur": 250_000, "args": {"step_num": "7"}},
        {"name": "aten::mm", "pid": 1, "ph": "X", "ts": 1, "dur": 30, "args": {}},
        {"name": "aten::mm", "pid": 1, "ph": "X", "ts": 2, "dur": 12, "args": {}},
    ]
    lines = ",\n".join(map(json.dumps, events))
    write_phases(tmp_path, f"[\n{lines}\n]" if closed else f'[\n{lines},\n{{"name": "to')
    run = read(tmp_path)
    assert run.phases is not None
    assert run.phases.names.tolist() == ["Step"]
    assert run.phases.starts.tolist() == [1.5]
    assert run.phases.seconds.tolist() == [0.25]
    assert run.phases.steps.tolist() == [7]
    assert run.phases.nodes.tolist() == ["algo-1"]
    assert [(o.name, o.device, o.total_us, o.calls) for o in run.operators] == [
        ("aten::mm", "cpu", 42, 2)
    ]


def lay_out(data: Path) -> None:
    """A job's output/data as ours has it."""
    (data / "debugger" / "tensors" / "collections").mkdir(parents=True)
    (data / "debugger" / "tensors" / "index").mkdir()
    write_metrics(data / "debugger" / "profiler-output", DOCUMENTED)
    (data / "debugger" / "facts.json").write_text('{"job": "a"}')
    (data / "metrics.jsonl").write_text('{"step": 1, "train_loss": 0.5}\n{"step":')
    (data / "metrics.json").write_text('{"val_mcc": 0.25}')


@pytest.mark.parametrize("which", ["output", "output/data", "output/data/debugger"])
def test_a_jobs_own_output_is_found_from_any_of_its_folders(tmp_path: Path, which: str) -> None:
    lay_out(tmp_path / "output" / "data")
    run = read(tmp_path / which)
    assert run.tensors == tmp_path / "output" / "data" / "debugger" / "tensors"
    assert len(run.system) == 1
    assert run.history == [{"step": 1, "train_loss": 0.5}]
    assert run.facts == {"job": "a", "metrics": {"val_mcc": 0.25}}


def test_an_archive_is_unpacked_for_as_long_as_the_run_lives(tmp_path: Path) -> None:
    lay_out(tmp_path / "tree" / "data")
    archive.pack(tmp_path / "tree", tmp_path / "job" / "output" / "output.tar.gz")
    run = read(tmp_path / "job")
    assert run.tensors is not None
    unpacked = run.tensors
    assert unpacked.is_dir()
    assert run.facts["job"] == "a"
    assert len(run.system) == 1
    del run
    assert not unpacked.exists()


def test_what_sagemaker_debugger_wrote(tmp_path: Path) -> None:
    (tmp_path / "debug-output" / "collections").mkdir(parents=True)
    (tmp_path / "debug-output" / "index").mkdir()
    write_metrics(tmp_path / "profiler-output", DOCUMENTED)
    run = read(tmp_path)
    assert run.tensors == tmp_path / "debug-output"
    assert len(run.system) == 1
    assert run.history == []


def test_what_sagemaker_debugger_wrote_and_the_jobs_own_output_go_together(tmp_path: Path) -> None:
    (tmp_path / "job" / "debug-output" / "collections").mkdir(parents=True)
    (tmp_path / "job" / "debug-output" / "index").mkdir()
    lay_out(tmp_path / "tree" / "data")
    archive.pack(tmp_path / "tree", tmp_path / "job" / "output" / "output.tar.gz")
    run = read(tmp_path / "job")
    assert run.tensors == tmp_path / "job" / "debug-output"
    assert run.facts["job"] == "a"
    assert len(run.system) == 1


def test_a_folder_with_nothing_in_it_is_an_empty_run(tmp_path: Path) -> None:
    run = read(tmp_path)
    assert (run.tensors, run.system, run.phases, run.operators) == (None, [], None, [])


def test_a_missing_folder_and_a_broken_archive_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a folder"):
        read(tmp_path / "nothing")
    (tmp_path / "output.tar.gz").write_text("no archive")
    with pytest.raises(RunError, match=r"output\.tar\.gz is not a whole tar\.gz archive"):
        read(tmp_path)


def test_operators_of_several_hosts_are_summed(tmp_path: Path) -> None:
    write_phases(tmp_path, "[]")
    folder = tmp_path / "framework" / "torch_profiler"
    folder.mkdir(parents=True)
    row = {"name": "aten::mm", "device": "cpu", "total_us": 5.0, "calls": 2}
    for host in ("algo-1", "algo-2"):
        (folder / f"{host}.operators.json").write_text(json.dumps([row]))
    (operator,) = read(tmp_path).operators
    assert (operator.total_us, operator.calls) == (10.0, 4)


def test_many_samples_take_little_time_and_no_object_each(tmp_path: Path) -> None:
    lines = [
        sample(core, 1e9 + moment / 2, Name=f"cpu{core}")
        for moment in range(10_000)
        for core in range(4)
    ]
    write_metrics(tmp_path, *lines)
    found = read(tmp_path).system
    assert [len(series.times) for series in found] == [10_000] * 4
    assert all(isinstance(series.values, np.ndarray) for series in found)
    assert all((np.diff(series.times) > 0).all() for series in found)
