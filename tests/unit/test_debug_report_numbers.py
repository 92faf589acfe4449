"""The numbers of report.json, against values that are plain to see."""

from __future__ import annotations

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from byoc.debugger.report.build import build
from byoc.debugger.report.gpus import fitting, slope
from byoc.debugger.report.gradients import layer_of
from byoc.debugger.report.numbers import COLUMNS, curve, plain, statistics
from byoc.debugger.report.steps import histogram
from byoc.debugger.report.tensors import L2, Column, Tensors
from byoc.debugger.run import Run
from debug_runs import NASTY, START, job, phases, results, series


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = resources.files("byoc.debugger.report").joinpath("report.schema.json").read_text()
    found: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def test_percentiles_interpolate_and_leave_out_what_is_not_finite() -> None:
    values = np.array([*range(101), math.nan, math.inf], np.float64)
    found = statistics(values)
    assert (found["samples"], found["min"], found["max"]) == (101, 0, 100)
    assert (found["p5"], found["p50"], found["p95"], found["p99"]) == (5, 50, 95, 99)
    assert statistics(np.array([1.0, 2.0]))["p50"] == 1.5
    assert statistics(np.array([math.nan]))["p50"] is None


def test_a_long_series_keeps_every_extreme() -> None:
    random = np.random.default_rng(1)
    y = random.normal(0, 1, 100_000)
    y[77_777], y[3] = 1e6, -1e6
    found = curve("loss", np.arange(100_000.0), y)
    assert len(found["x"]) == COLUMNS
    assert found["samples"] == 100_000
    assert max(found["high"]) == 1e6
    assert min(found["low"]) == -1e6
    place = int(np.argmax(found["high"]))
    assert abs(found["x"][place] - 77_777) <= 100_000 / COLUMNS
    assert np.all(found["low"] <= found["mean"])
    assert np.all(found["mean"] <= found["high"])


def test_a_short_series_is_kept_as_it_is_in_the_order_of_x() -> None:
    found = curve("loss", np.array([2.0, 1.0, 3.0]), np.array([20.0, 10.0, math.nan]))
    assert found["x"].tolist() == [1.0, 2.0]
    assert found["mean"].tolist() == [10.0, 20.0]
    assert found["not_finite"] == 1
    assert "low" not in found


def test_json_holds_no_nan_and_keeps_times_exact() -> None:
    found = plain({"a": math.nan, "b": np.float32(0.1), "c": np.array([1, 2]), "d": START + 0.25})
    assert found == {"a": None, "b": 0.1, "c": [1, 2], "d": START + 0.25}


def test_the_report_keeps_its_schema(schema: dict[str, Any]) -> None:
    report = build(job(), results())
    jsonschema.validate(report, schema)
    json.dumps(report, allow_nan=False)


def test_a_job_that_left_nothing_is_reported_too(schema: dict[str, Any]) -> None:
    report = build(Run(Path("nothing")), [])
    jsonschema.validate(report, schema)
    assert report["steps"]["seconds"] is None
    assert report["gradients"]["layers"] == []


def test_the_schema_refuses_what_it_does_not_know(schema: dict[str, Any]) -> None:
    report = build(job(), results())
    report["job"]["colour"] = "blue"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, schema)


def test_the_jobs_parts_are_shares_of_its_time() -> None:
    parts = build(job(), [])["job"]["parts"]
    assert [(part["name"], part["share"]) for part in parts] == [
        ("Initialization", 0.1),
        ("TrainLoop", 0.8),
        ("Finalization", 0.1),
    ]


def test_a_step_that_stands_out_is_found_and_drawn() -> None:
    steps = build(job(), [])["steps"]
    assert steps["seconds"]["samples"] == 31
    assert steps["outliers"]["steps"] == [30]
    assert steps["outliers"]["seconds"] == 18
    assert steps["histogram"]["scale"] == "log"
    assert sum(steps["histogram"]["counts"]) == 31
    assert steps["histogram"]["counts"][-1] == 1


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0], [0.0, 0.0, 5.0], [1e-9, 1e3]])
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    assert histogram(np.array(values))["counts"].sum() == len(values)


def test_an_underused_gpu_is_told_which_batch_fits() -> None:
    section = build(job(), [])["batch_size"]
    assert section["fits"] == 64
    assert section["notes"][0]["what"] == (
        "GPU used 31% at P95; peak memory 4.1 of 15 GB, with batch 32: batch 64 would fit."
    )
    assert "batch-size 64" in section["notes"][0]["advice"]


@pytest.mark.parametrize(
    ("filled", "fits"), [(0.27, 64), (0.2, 128), (0.46, 32), (0.95, 32), (0.0, None), (None, None)]
)
def test_a_batch_that_fits_leaves_a_tenth_of_the_memory(
    filled: float | None, fits: int | None
) -> None:
    assert fitting(32, filled) == fits


def test_a_busy_core_beside_an_idle_gpu_is_a_bottleneck() -> None:
    run = Run(
        Path("x"),
        system=[
            series([5.0] * 60 + [90.0] * 40, tick=1),
            series([95.0] * 80 + [10.0] * 20, "CPUUtilization", "cpu0", tick=1),
            series([10.0] * 100, "CPUUtilization", "cpu1", tick=1),
        ],
    )
    section = build(run, [])["cpu_bottlenecks"]
    assert (section["gpu_idle"], section["blocked"]) == (0.6, 0.6)
    assert "hold the GPUs up" in section["notes"][0]["advice"]


def test_time_spent_waiting_for_data_is_a_share_of_the_steps() -> None:
    rows = [("Step", step, 1.0, step) for step in range(10)]
    rows += [("DataLoading", step, 0.4, step) for step in range(10)]
    report = build(Run(Path("x"), phases=phases(*rows)), [])
    assert report["io_bottlenecks"]["data_loading"] == 0.4
    shares = {phase["name"]: phase["share"] for phase in report["framework"]["phases"]}
    assert shares == {"DataLoading": 0.4, "Other": 0.6}


def test_of_a_long_jobs_later_steps_each_stands_for_ten() -> None:
    rows = [("Step", 0, 1.0, step) for step in range(19_998, 20_000)]
    rows += [("Step", 0, 1.0, step) for step in range(20_000, 20_100, 10)]
    found = build(Run(Path("x"), phases=phases(*rows)), [])["framework"]["phases"]
    assert found[0]["seconds"] == 2 + 10 * 10


def test_the_best_epoch_is_told() -> None:
    run = Run(Path("x"))
    run.history = [
        {"step": step, "epoch": step, "val_loss": loss, "val_mcc": loss}
        for step, loss in ((10, 0.5), (20, 0.25), (30, 0.75))
    ]
    assert [note["what"] for note in build(run, [])["curves"]["notes"]] == [
        "val_loss was lowest at step 20: 0.25; the last is 0.75.",
        "val_mcc was highest at step 30: 0.75; the last is 0.75.",
    ]


def test_growing_memory_is_told_from_a_peak() -> None:
    x = np.arange(3600.0)
    assert slope(x, 20 + x / 360) == pytest.approx(10)
    peaks = np.where(x % 500 == 0, 90.0, 20.0)
    assert slope(x, peaks) == pytest.approx(0)
    assert slope(x[:3], x[:3]) is None


def test_a_short_jobs_growth_is_told_in_points_and_is_no_leak_by_its_rate_alone() -> None:
    for seconds, grown, advice in ((60.0, 1.0, "No sign"), (60.0, 8.0, "Look for")):
        values = 20 + np.linspace(0, 2 * grown, int(2 * seconds))
        run = Run(Path("x"), system=[series(values, "GPUMemoryUtilization")])
        (note,) = build(run, [])["gpu_memory"]["notes"]
        assert f"changed by {grown:+.1f} points in the job's second half" in note["what"]
        assert note["advice"].startswith(advice)


def test_debuggings_own_time_is_a_part_of_its_step_and_counts_once() -> None:
    rows = [("Step", 0.0, 10.0, 0), ("Forward", 0.0, 4.0, 0), ("Hook", 4.0, 5.0, 0)]
    rows += [("Hook", 12.0, 2.0, -1), ("Finalization", 14.0, 6.0, -1)]
    found = build(Run(Path("x"), phases=phases(*rows)), [])["framework"]["phases"]
    told = {(phase["name"], phase["within"]): phase["seconds"] for phase in found}
    assert told == {
        ("Forward", "Step"): 4.0,
        ("Hook", "Step"): 5.0,
        ("Other", "Step"): 1.0,
        ("Hook", None): 2.0,
        ("Finalization", None): 6.0,
    }


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("distilbert.transformer.layer.3.attention.q_lin.weight", "layer 3"),
        ("bert.encoder.layer.11.output.dense.bias", "layer 11"),
        ("distilbert.embeddings.word_embeddings.weight", "embeddings"),
        ("pre_classifier.weight", "pre_classifier"),
        ("transformer.h.0.mlp.c_fc.weight", "layer 0"),
        ("weight", "weight"),
    ],
)
def test_parameters_belong_to_layers(parameter: str, layer: str) -> None:
    assert layer_of(parameter) == layer


def test_a_layers_norm_is_that_of_its_parameters_together() -> None:
    tensors = Tensors()
    for name, value in (("layer.0.a", 3.0), ("layer.0.b", 4.0), ("classifier.weight", 1.0)):
        tensors.columns[L2, "TRAIN", name] = Column([0, 10], [value, 0.0])
    found = build(Run(Path("x")), [], tensors)["gradients"]
    assert [(layer["name"], layer["mean"]) for layer in found["layers"]] == [
        ("layer 0", [5, 0]),
        ("classifier", [1, 0]),
    ]


def test_counted_tokens_say_how_much_was_padding() -> None:
    run = Run(Path("x"), facts={"real_tokens": 60, "computed_tokens": 100})
    assert build(run, [])["padding"]["share"] == pytest.approx(0.4)


def test_rules_that_fired_come_first_and_are_counted() -> None:
    rules = build(job(), results())["rules"]
    assert [rule["rule"] for rule in rules["results"]] == ["Overfit", "AllZero", "DeadRelu"]
    assert rules["counts"] == {"fired": 1, "quiet": 1, "not evaluated": 1}
    assert rules["results"][0]["fired"] == 7
    assert rules["results"][0]["findings"][0]["seconds"] == 9
    assert rules["results"][0]["section"] == "curves"


def test_facts_of_any_kind_are_kept(schema: dict[str, Any]) -> None:
    report = build(job(versions={"torch": NASTY}, rows={"train": 5}, odd=[1, None]), [])
    jsonschema.validate(report, schema)
    assert report["job"]["tables"]["rows"] == {"train": 5}
