"""Makes a debugged job's output of any size: what a job of hours leaves, within a minute.

Its forms are the real ones; its numbers are made up, from a seed. Planted in it: a step that is
twenty times slower, and one lone second in which the GPU idles.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from byoc.debugger import names
from byoc.debugger.capture.event_file import EventFile
from byoc.debugger.capture.phases import BACKWARD, FORWARD, TRAIN_STEP
from byoc.debugger.layout import (
    DEBUGGER,
    FACTS,
    FRAMEWORK,
    HISTORY,
    INCREMENTAL,
    OPERATORS,
    PEVENTS,
    PROFILER,
    SYSTEM,
    TENSORS,
    TORCH_PROFILER,
)

START = 1_780_000_000.0
MODULES = ("attention.q_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2", "output_layer_norm")


@dataclass(frozen=True)
class Size:
    """Of a job; the defaults are those of the benchmark."""

    samples: int = 1_000_000
    saves: int = 10_000
    steps_per_save: int = 5
    layers: int = 6
    cores: int = 4
    gpus: int = 1
    tick: float = 0.5
    """Seconds between samples."""

    @property
    def steps(self) -> int:
        return self.saves * self.steps_per_save

    @property
    def per_tick(self) -> int:
        return 2 * self.cores + 2 * self.gpus + 6

    @property
    def ticks(self) -> int:
        return math.ceil(self.samples / self.per_tick)

    @property
    def seconds(self) -> float:
        return self.ticks * self.tick


def make_job(folder: Path, size: Size, seed: int = 0) -> Path:
    """Writes the job as output/data holds it, into ``folder``; returns it."""
    random = np.random.default_rng(seed)
    debugger = folder / DEBUGGER
    debugger.mkdir(parents=True)
    durations = random.gamma(60, 1 / 60, size.steps)
    durations[size.steps // 2] *= 20
    durations *= 0.9 * size.seconds / durations.sum()
    ends = START + 0.06 * size.seconds + np.cumsum(durations)
    _write_facts(debugger, size)
    _write_history(folder, size, random)
    _write_system(debugger / PROFILER / SYSTEM / INCREMENTAL, size, random)
    _write_phases(debugger / PROFILER / FRAMEWORK / PEVENTS, size, durations, ends)
    _write_operators(debugger / PROFILER / FRAMEWORK / TORCH_PROFILER)
    _write_tensors(debugger / TENSORS, size, random)
    return folder


def _write_facts(folder: Path, size: Size) -> None:
    facts = {
        "job": "made-up-job",
        "started": START,
        "ended": START + size.seconds,
        "batch_size": 32,
        "device": {"name": "made up", "count": size.gpus, "memory_bytes": 15_000_000_000},
        "peak_memory_bytes": 4_100_000_000,
        "real_tokens": 930_000,
        "computed_tokens": 1_000_000,
        "hyperparameters": {"epochs": "4", "lr": "5e-5", "batch-size": "32"},
    }
    (folder / FACTS).write_text(json.dumps(facts))


def _loss(step: int, steps: int) -> float:
    return 0.25 + 0.45 * math.exp(-4 * step / steps)


def _write_history(folder: Path, size: Size, random: np.random.Generator) -> None:
    stride = max(1, size.steps // 1000)
    lines: list[dict[str, float]] = []
    for step in range(stride, size.steps + 1, stride):
        loss = _loss(step, size.steps) + float(random.normal(0, 0.03))
        rate = 5e-5 * min(1.0, 10 * step / size.steps) * (1 - step / size.steps)
        lines.append({"step": step, "epoch": 4 * step / size.steps, "train_loss": loss, "lr": rate})
    for epoch in range(1, 5):
        step = epoch * size.steps // 4
        lines.append(
            {
                "epoch": epoch,
                "step": step,
                "train_loss": _loss(step, size.steps) + 0.02,
                "val_loss": _loss(step, size.steps) + 0.05 + 0.03 * epoch,
                "val_mcc": 0.55 * (1 - math.exp(-epoch)),
                "val_accuracy": 0.7 + 0.13 * (1 - math.exp(-epoch)),
            }
        )
    lines.sort(key=lambda line: line["step"])
    (folder / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_system(folder: Path, size: Size, random: np.random.Generator) -> None:
    """A file for each minute, as SageMaker has it."""
    per_file = max(1, int(60 / size.tick))
    ticks = np.arange(size.ticks)
    wave = 0.5 + 0.5 * np.sin(ticks / 400)
    columns: list[tuple[str, str, str, Any]] = []
    for core in range(size.cores):
        busy = np.clip(90 * wave * (0.5 + core / 8) + random.normal(5, 4, size.ticks), 0, 100)
        waits = np.clip(random.exponential(2, size.ticks), 0, 100)
        columns += [("cpu", f"cpu{core}", "CPUUtilization", busy)]
        columns += [("cpu", f"cpu{core}", "I/OWaitPercentage", waits)]
    for gpu in range(size.gpus):
        used = np.clip(70 + 20 * wave + random.normal(0, 5, size.ticks), 1, 100)
        used[size.ticks // 3 : size.ticks // 3 + max(1, int(1 / size.tick))] = 0
        columns += [("gpu", f"gpu{gpu}", "GPUUtilization", used)]
        columns += [("gpu", f"gpu{gpu}", "GPUMemoryUtilization", 27 + 2 * wave)]
    columns += [
        ("memory", "MemoryUsedPercent", "", 30 + 5 * ticks / size.ticks),
        ("i/o", "IOPS", "", random.exponential(20, size.ticks)),
        ("i/o", "ReadThroughputInBytesPerSecond", "", random.exponential(2e6, size.ticks)),
        ("i/o", "WriteThroughputInBytesPerSecond", "", random.exponential(5e5, size.ticks)),
        ("network", "ReceiveBytesPerSecond", "Algorithm", random.exponential(1e5, size.ticks)),
        ("network", "TransmitBytesPerSecond", "Algorithm", random.exponential(1e4, size.ticks)),
    ]
    heads = [
        f'{{"Type":"{kind}","Name":"{name}","Dimension":"{dimension}","NodeId":"algo-1","Value":'
        for kind, name, dimension, _ in columns
    ]
    values = np.round(np.asarray([values for *_, values in columns]), 2).T.tolist()
    for first in range(0, size.ticks, per_file):
        lines = []
        for tick in range(first, min(first + per_file, size.ticks)):
            tail = f',"Timestamp":{START + tick * size.tick:.3f}}}\n'
            lines += [
                f"{head}{value}{tail}" for head, value in zip(heads, values[tick], strict=True)
            ]
        end = int(START + (first + per_file) * size.tick)
        _put(folder / _hour(end) / f"{end}.algo-1.json", "".join(lines))


def _write_phases(folder: Path, size: Size, durations: Any, ends: Any) -> None:
    """smdebug's timeline: job parts, every step and what is in it, four validations."""
    phases = (
        *("Initialization", "TrainLoop", "Finalization", TRAIN_STEP, "Validation", "Checkpoint"),
        *(name for name, _, _ in _WITHIN),
    )
    numbers = {name: place for place, name in enumerate(phases)}
    events: list[dict[str, Any]] = [
        {
            "name": "process_name",
            "ph": "M",
            "pid": 0,
            "args": {"start_time_since_epoch_in_micros": int(START * 1e6)},
        }
    ]
    events += [
        {"name": "process_name", "ph": "M", "pid": number, "args": {"name": name}}
        for name, number in numbers.items()
    ]

    def add(name: str, start: float, seconds: float, step: int = -1) -> None:
        arguments = {"step_num": str(step)} if step >= 0 else {}
        span = {"ts": round((start - START) * 1e6), "dur": round(seconds * 1e6)}
        events.append(
            {"name": name, "ph": "X", "pid": numbers[name], "tid": 0, **span, "args": arguments}
        )

    whole = size.seconds
    add("Initialization", START, 0.06 * whole)
    add("TrainLoop", START + 0.06 * whole, 0.92 * whole)
    add("Finalization", START + 0.98 * whole, 0.02 * whole)
    for step, (seconds, end) in enumerate(zip(durations.tolist(), ends.tolist(), strict=True)):
        start = end - seconds
        add(TRAIN_STEP, start, seconds, step)
        for name, share, at in _WITHIN:
            add(name, start + at * seconds, share * seconds, step)
    for epoch in range(1, 5):
        at = float(ends[epoch * size.steps // 4 - 1])
        add("Validation", at, 0.004 * whole)
        add("Checkpoint", at + 0.004 * whole, 0.0005 * whole)
    end = int((START + whole) * 1e6)
    lines = ",\n".join(json.dumps(event) for event in events)
    _put(folder / _hour(int(START)) / f"{end}_0-algo-1_pythontimeline.json", f"[\n{lines}\n]\n")


_WITHIN = (
    ("DataLoading", 0.06, 0.0),
    (FORWARD, 0.32, 0.06),
    (BACKWARD, 0.5, 0.38),
    ("Optimizer", 0.09, 0.88),
)


def _write_operators(folder: Path) -> None:
    named = ("aten::addmm", "aten::bmm", "aten::gelu", "aten::native_layer_norm", "aten::copy_")
    rows = [
        {"name": name, "device": device, "total_us": 9e5 / (place + 1), "calls": 900 * (place + 1)}
        for device in ("cpu", "gpu")
        for place, name in enumerate(named)
    ]
    _put(folder / f"0-algo-1_{OPERATORS}", json.dumps(rows))


def parameters(layers: int) -> list[str]:
    """As a DistilBERT of so many layers has them: 16 for each layer, and a few more."""
    found = ["distilbert.embeddings.word_embeddings.weight"]
    found += [
        f"distilbert.transformer.layer.{layer}.{module}.{kind}"
        for layer in range(layers)
        for module in MODULES
        for kind in ("weight", "bias")
    ]
    return [*found, "pre_classifier.weight", "classifier.weight"]


def _write_tensors(folder: Path, size: Size, random: np.random.Generator) -> None:
    """Of each save the loss, and of every gradient its norm and mean size; token ids at times."""
    found = [names.gradient(name) for name in parameters(size.layers)]
    scales = np.geomspace(0.02, 0.2, len(found))
    collections = {"collections": {"gradients": {"include_regex": ["^gradient"]}}}
    _put(folder / "collections/000000000/worker_0_collections.json", json.dumps(collections))
    mode = SimpleNamespace(name="TRAIN", value=1)
    for save in range(size.saves):
        step = save * size.steps_per_save
        file = EventFile(folder, step, "worker_0")
        loss = _loss(step, size.steps) + random.normal(0, 0.03)
        file.write_tensor(np.float32(loss), names.LOSS, mode, step, START + step)
        norms = (scales * random.lognormal(0, 0.3, len(found))).astype(np.float32)
        for name, norm in zip(found, norms, strict=True):
            for kind, value in (("l2", norm), ("abs_mean", norm / 100)):
                tensor = f"smdebug/reductions/{kind}/{name}"
                file.write_tensor(value, tensor, mode, step, START + step)
        if save % 10 == 0:
            ids = random.integers(1, 30_000, (32, 24))
            ids[np.arange(24)[None, :] >= random.integers(12, 25, (32, 1))] = 0
            file.write_tensor(ids, names.INPUT_IDS, mode, step, START + step)
        file.close()


def _hour(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H")


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
