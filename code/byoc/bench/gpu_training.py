"""Whole epochs of training on a GPU: ours with and without CUDA graphs, and its peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as lightning
import torch

from byoc.bench import training_paths as paths
from byoc.bench.training import Figure
from byoc.training import fit
from byoc.training.checkpoint import Checkpoints
from byoc.training.data import TextData
from byoc.training.model import Classifier
from byoc.training.place import Place
from byoc.training.precision import BF16
from byoc.training.prepare import Prepared
from byoc.training.progress import Progress
from byoc.training.stopping import StopRequest

DEVICE = "cuda"
EPOCHS = 2
"""The first one warms up and captures, and is told apart."""
SETTINGS = {
    "max-length": "256",
    "batch-size": "32",
    "epochs": str(EPOCHS),
    "early-stopping-patience": "0",
}
PADDED_STEPS = 60
BOUND_STEPS = 100


PRECISIONS = (BF16,)
"""What `precision=auto` takes."""


def figures(job: Prepared, scratch: Path) -> Iterator[Figure]:
    """Examples a second; ``job`` with ``SETTINGS``."""
    for precision in PRECISIONS:
        yield from _compared(job, scratch, precision)


def outside(job: Prepared) -> Iterator[Figure]:
    """Of steps without graphs, whose parts can be told apart."""
    watched = paths.Ours(_without_graphs(job), BF16)
    runs = [watched.run(BOUND_STEPS, number) for number in range(3)]
    share = median(run.outside for run in runs)
    parts = {name: f"{took / BOUND_STEPS * 1e3:.1f}" for name, took in runs[-1].parts.items()}
    yield Figure(
        "share of a step outside forward, backward, optimizer (of the host's time), no graphs",
        f"{share:.1%}; ms: {parts}",
        "<= 8%",
        share <= 0.08,
    )


def _compared(job: Prepared, scratch: Path, precision: str) -> Iterator[Figure]:
    rows = len(job.tokens()["train"])
    ways: dict[str, Callable[[], list[float]]] = {
        "graphs": lambda: _ours(job, precision),
        "eager": lambda: _ours(_without_graphs(job), precision),
        "Trainer": lambda: _trainer(job, scratch / "trainer", precision),
    }
    seconds = {name: way() for name, way in ways.items()}
    again = {name: way() for name, way in reversed(ways.items())}
    rates = {name: rows / median(seconds[name][1:] + again[name][1:]) for name in ways}
    rates["padded"] = _padded(job, precision)
    for name, took in seconds.items():
        print(f"  {precision}, {name}: epochs of {', '.join(f'{it:.2f}' for it in took)} s")
    for way, over, least in (
        ("eager", "Trainer", 1.2),
        ("graphs", "Trainer", 2.0),
        ("graphs", "padded", 30.0),
    ):
        gain = rates[way] / rates[over]
        told = {"Trainer": "transformers.Trainer, dynamic padding", "padded": "padding to 256"}
        yield Figure(
            f"examples/s in {precision}, ours {way}, over {told[over]}",
            f"{gain:.1f}x ({rates[way]:,.0f} over {rates[over]:,.0f})",
            f">= {least}x",
            gain >= least,
        )


def _without_graphs(job: Prepared) -> Prepared:
    return replace(job, config=replace(job.config, cuda_graphs=False))


class _Epochs(lightning.Callback):
    """How long each epoch's steps took, the GPU's work included; seconds."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self._begin = self._end = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.cuda.synchronize()
        self._begin = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        torch.cuda.synchronize()
        self.took.append(time.perf_counter() - self._begin)


def _ours(job: Prepared, precision: str) -> list[float]:
    config, place, watch = job.config, Place(), _Epochs()
    data = TextData(job.tokens(), job.tokenizer().pad_token_id, config)
    classifier = Classifier(
        paths.load(job),
        config,
        total_steps=config.epochs * data.steps_per_epoch(),
        class_counts=job.counts["train"],
        precision=precision,
    )
    if config.cuda_graphs:
        classifier.use_graphs()
    kept = Checkpoints(job.folder / "checkpoints", job.identity, 1)
    steps = data.steps_per_epoch()
    progress = Progress(config, place, StopRequest(), kept, steps, saves_regularly=False)
    progress.precision = precision
    fit._quiet()
    fit._trainer(progress, place, [watch]).fit(classifier, data)
    return watch.took


def _trainer(job: Prepared, scratch: Path, precision: str) -> list[float]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    took: list[float] = []

    class Watch(TrainerCallback):
        begin = 0.0

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            self.begin = time.perf_counter()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            took.append(time.perf_counter() - self.begin)

    peer = paths.Peer(job, scratch)
    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=job.config.batch_size,
        learning_rate=job.config.lr,
        num_train_epochs=EPOCHS,
        bf16=precision == BF16,
        use_cpu=DEVICE == "cpu",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=peer.model,
        args=arguments,
        train_dataset=peer.rows,
        data_collator=peer.collator(),
        callbacks=[Watch()],
    )
    paths.train_quietly(trainer)
    return took


def _padded(job: Prepared, precision: str) -> float:
    """Examples a second of the common recipe."""
    recipe = paths.CommonRecipe(job, DEVICE, bf16=precision == BF16)
    recipe.run(5, 0)
    torch.cuda.synchronize()
    return max(recipe.run(PADDED_STEPS, number).rate for number in (1, 2))
