"""Trains one job of `rule_jobs` with its fault and with debugging, in this process for good."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.bench.rule_jobs import Job

VALIDATION = 300
"""Rows."""
SAVE_INTERVAL = 5
GPU_STEP = 0.1
"""Seconds that a step takes on the GPU that is not there."""
LEAK = 0.2
"""Per cent of the GPU's memory that a step leaves behind."""

Row = tuple[str, int]


def import_libraries() -> None:
    """All that a job imports, smdebug first; computes nothing, so that the process may fork."""
    from byoc.debugger import library

    library.load()
    import byoc.debugger.capture.callback
    import byoc.debugger.engine
    import byoc.training.fit
    import byoc.training.prepare  # noqa: F401


def run(job: Job, folder: Path, data: Path | None, model: Path | None) -> None:
    """``folder`` then holds the job's tree (output/data/debugger) and nothing else that is large.

    Changes the training code in this process: it is to end after this.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[contract.BASE_DIR_VARIABLE] = str(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    _write_channels(job, data)
    config = contract.config_file("profilerconfig.json")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"ProfilingIntervalInMilliseconds": job.sampling_ms}))
    gpus = None
    if job.gpus:
        from byoc.bench.rule_gpu import Gpus

        gpus = Gpus(folder, job.gpus)
    _train(job, str(model or ""), gpus)
    for name in ("model", "checkpoints", "input"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _train(job: Job, model: str, gpus: Any) -> None:
    from byoc.training.config import SCRATCH, TrainingConfig
    from byoc.training.faults import TrainingFault
    from byoc.training.fit import train
    from byoc.training.place import Place
    from byoc.training.prepare import prepare
    from byoc.training.sources import read_splits
    from byoc.training.stopping import StopRequest

    settings: dict[str, Any] = {
        "seed": job.seed,
        "early_stopping_patience": 0,
        "model_name_or_path": model if job.model == "minilm" else SCRATCH,
        "debug": True,
        "debug_save_interval": SAVE_INTERVAL,
        "debug_eval_save_interval": 1,
        "debug_profile_steps": "",
        "debug_rules": "none",
    }
    config = TrainingConfig(**{**settings, **job.config})
    _plant(job, gpus)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(config, read_splits(config), Path(scratch))
        try:
            train(prepared, StopRequest(), Place())
        except TrainingFault as fault:
            if not job.fault or "diverged" not in str(fault):
                raise
            print(fault)  # what was saved until then is what the rules are to judge


def _plant(job: Job, gpus: Any) -> None:
    """Puts the fault where training finds its model, its batches and its step."""
    from byoc.bench import rule_faults
    from byoc.training import encoder
    from byoc.training.data import TextData
    from byoc.training.model import Classifier

    make, load, step = encoder.model, TextData.train_dataloader, Classifier.training_step

    def model(found: str, config: Any, tokenizer: Any, names: Sequence[str]) -> Any:
        made = make(found, config, tokenizer, names)
        if job.model == "stack":
            shape: Any = rule_faults.StackConfig()
            shape.num_labels = len(names)
            return rule_faults.Stack(shape, job.fault, len(tokenizer))
        return rule_faults.weights(job.fault, made)

    encoder.model = model
    TextData.train_dataloader = (  # type: ignore[method-assign]
        lambda self: rule_faults.loader(job.fault, load(self))
    )
    if job.fault in rule_faults.STEPS:
        changed = rule_faults.STEPS[job.fault](step)
        Classifier.training_step = lambda *args: changed(*args)  # type: ignore[method-assign]
    if gpus is not None:
        Classifier.training_step = _on_gpus(job, gpus, step)  # type: ignore[method-assign]


def _on_gpus(job: Job, gpus: Any, step: Any) -> Any:
    """A step that also takes a GPU's time, or leaves some of its memory behind."""
    kept = list(job.gpus)

    def training_step(self: Any, batch: Any, number: int) -> Any:
        if job.fault == "leak":
            kept[0] = (kept[0][0], min(99.0, kept[0][1] + LEAK))
            gpus.tell(kept)
        if job.fault != "cpu-bound":
            time.sleep(GPU_STEP)
        return step(self, batch, number)

    return training_step


def _write_channels(job: Job, data: Path | None) -> None:
    from byoc.bench.rule_faults import rows

    train, validation = _cola(job, data) if job.data == "cola" else _corpus(job)
    for split, found in (("train", rows(job.fault, train, job.seed)), ("validation", validation)):
        folder = contract.channel_dir(split)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("sentence", "label"))
            writer.writerows(found)


def _corpus(job: Job) -> tuple[list[Row], list[Row]]:
    from byoc.corpus import generate

    train, validation = generate(job.seed, 4000)
    pairs = [[(each.sentence, each.label) for each in split] for split in (train, validation)]
    return pairs[0][: job.rows], pairs[1][:VALIDATION]


def _cola(job: Job, data: Path | None) -> tuple[list[Row], list[Row]]:
    assert data is not None, "a CoLA job needs --data"
    draw = random.Random(job.seed)  # noqa: S311 (no secret)
    found = []
    for name, count in (("in_domain_train.tsv", job.rows), ("in_domain_dev.tsv", VALIDATION)):
        lines = (data / name).read_text(encoding="utf-8").splitlines()
        cells = [line.split("\t") for line in lines]
        rows = [(row[3], int(row[1])) for row in cells if len(row) == 4]
        found.append(draw.sample(rows, min(count, len(rows))))
    return found[0], found[1]
