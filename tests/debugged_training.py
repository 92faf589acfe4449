"""A short training that is debugged, and what a test saw of it with its own eyes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch
from torch.nn.functional import cross_entropy

from byoc.debugger import library
from byoc.training import fit
from byoc.training.config import TrainingConfig
from byoc.training.place import Place
from byoc.training.precision import FP16
from byoc.training.prepare import prepare
from byoc.training.sources import read_splits
from byoc.training.stopping import StopRequest

# Before anything imports protobuf's fast form into this process.
library.load()

CONFIG = TrainingConfig(
    epochs=2,
    lr=1e-3,
    model_name_or_path="scratch",
    max_length=32,
    batch_size=64,
    dropout=0.0,
    # So low that every gradient is clipped: what is saved must not be.
    gradient_clip=1e-3,
    debug=True,
    debug_profile_steps="",
)


@dataclass
class Seen:
    """Of each optimizer step: its loss, and the weights and gradients just before the update;
    ``raw``: the gradients as training itself has them, not yet clipped."""

    losses: list[float] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)
    raw: list[dict[str, torch.Tensor]] = field(default_factory=list)
    weights: list[dict[str, torch.Tensor]] = field(default_factory=list)
    after: list[dict[str, torch.Tensor]] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


class Spy(lightning.Callback):
    """Computes loss and gradients anew, from all rows of a step at once: no accumulation, no
    scaling, no clipping."""

    def __init__(self, micro_batches: int) -> None:
        self.seen = Seen()
        self._micro_batches = micro_batches
        self._batches: list[Any] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches.append(batch)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        names, weights = zip(*pl_module.model.named_parameters(), strict=True)
        with torch.autocast("cpu", enabled=False):
            total = sum(
                cross_entropy(pl_module(b).float(), b["labels"], reduction="sum")
                for b in self._batches
            )
            loss = total / sum(len(batch["labels"]) for batch in self._batches)
            gradients = torch.autograd.grad(loss, weights)
        self._batches = []
        self.seen.losses.append(loss.item())
        self.seen.gradients.append(dict(zip(names, gradients, strict=True)))
        self.seen.raw.append({n: w.grad.clone() for n, w in pl_module.model.named_parameters()})
        self.seen.weights.append(_copy(pl_module))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self._micro_batches == 0:
            self.seen.after.append(_copy(pl_module))

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        loss = cross_entropy(pl_module(batch).float(), batch["labels"])
        self.seen.validation_losses.append(loss.item())


def _copy(pl_module: Any) -> dict[str, torch.Tensor]:
    return {name: w.detach().clone() for name, w in pl_module.model.named_parameters()}


def run(config: TrainingConfig = CONFIG, stop: StopRequest | None = None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(config, read_splits(config), Path(folder))
        return fit.train(prepared, stop or StopRequest(), Place())


def run_and_see(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, *, plugin: Any = None
) -> Seen:
    """Trains with a spy; ``plugin``: Lightning's fp16, which it refuses to make on a CPU."""
    spy = Spy(config.gradient_accumulation_steps)
    made = fit._trainer

    def with_spy(*args: Any) -> lightning.Trainer:
        trainer = made(*args)
        trainer.callbacks.append(spy)
        if plugin is not None:
            trainer.strategy.precision_plugin = plugin
        return trainer

    if plugin is not None:
        monkeypatch.setattr(fit, "choose", lambda *_: FP16)
    monkeypatch.setattr(fit, "_trainer", with_spy)
    run(config)
    return spy.seen
