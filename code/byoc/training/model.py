"""The encoder as a LightningModule: loss, optimizer, schedule, validation scores."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from torch.nn.functional import cross_entropy

from byoc.scores import scores
from byoc.training.adapt import adapt
from byoc.training.config import TrainingConfig
from byoc.training.graphs import Graphs
from byoc.training.optimizer import adamw, schedule

Batch = dict[str, Any]
"""``input_ids`` and ``attention_mask`` [rows, longest], perhaps ``token_type_ids``; ``labels``
[rows]; ``rows``: rows of the whole optimizer step, over all processes and micro-batches."""

Gather = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""(logits [own rows, classes], labels [own rows]) of this process to those of all of them."""

NO_LABEL = -100
"""The label of a row that fills a batch and counts for nothing."""


class Classifier(lightning.LightningModule):
    """``model`` is any Hugging Face sequence classifier; it is changed as ``config`` asks.

    ``total_steps`` is how many optimizer steps the whole training has; ``class_counts`` the
    training rows of each class; ``world`` the number of processes; ``precision`` Lightning's name
    of the arithmetic (`precision.choose`).
    """

    def __init__(
        self,
        model: Any,
        config: TrainingConfig,
        *,
        total_steps: int,
        class_counts: Sequence[int],
        world: int = 1,
        gather: Gather | None = None,
        precision: str = "32-true",
    ) -> None:
        super().__init__()
        self._has_types = _has_types(model)
        self.model = adapt(model, config)
        self.config = config
        self.total_steps = total_steps
        self.precision = precision
        self.epoch_scores: dict[str, float] = {}
        """The last validation's ``val_*``."""
        self.last_logits = torch.empty(0)
        """[rows, classes] of the last batch, for whoever looks on (debugging)."""
        self._gather = gather
        self._graphs: Graphs | None = None
        # Lightning divides by the micro-batches of a step, DDP by the processes.
        self._share: int = world * config.gradient_accumulation_steps
        weights = class_weights(class_counts) if config.class_weights == "balanced" else None
        self._class_weights: torch.Tensor | None
        self.register_buffer("_class_weights", weights, persistent=False)
        self._loss_state = torch.zeros(2, dtype=torch.float64)
        self._is_restored = False
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets it around every hook, some fifty times a step, and a torch module's own
        # way would look each time whether the value is a weight.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def use_graphs(self) -> None:
        """From now on training steps are CUDA graphs, where that is possible."""
        self._graphs = Graphs(self.model)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits [rows, classes]."""
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if self._has_types and batch.get("token_type_ids") is not None:
            inputs["token_type_ids"] = batch["token_type_ids"]
        logits: torch.Tensor | None = None
        if self._graphs is not None and self.training:
            logits = self._graphs(inputs)
        return self.model(**inputs).logits if logits is None else logits

    def on_train_epoch_start(self) -> None:
        if not self._is_restored:
            self._loss_state = torch.zeros_like(self._loss_state)
        self._loss_state = self._loss_state.to(self.device)
        self._is_restored = False

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:  # noqa: ARG002
        """The micro-batch's part of the mean loss over the step's rows."""
        labels = batch["labels"]
        logits = self(batch)
        self.last_logits = logits.detach()
        loss = cross_entropy(
            logits.float(),
            labels,
            weight=self._class_weights,
            ignore_index=NO_LABEL,
            label_smoothing=self.config.label_smoothing,
            reduction="sum",
        )
        # Tensors all along: .item() would wait for the device in every step.
        self._loss_state += torch.stack((loss.detach(), (labels != NO_LABEL).sum()))
        share: float = self._share / batch["rows"]
        return loss * share

    def loss_state(self) -> torch.Tensor:
        """[sum of the losses, rows] of this epoch so far in this process, in double precision."""
        return self._loss_state

    def set_loss_state(self, state: torch.Tensor) -> None:
        """The epoch that starts next goes on from an earlier run's ``loss_state``."""
        self._loss_state, self._is_restored = state.to(torch.float64, copy=True), True

    @property
    def train_loss(self) -> float:
        """The mean over the rows of this epoch so far, in this process."""
        return mean_loss(self._loss_state)

    def on_validation_epoch_start(self) -> None:
        self._outputs = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        self.last_logits = self(batch)
        self._outputs.append((self.last_logits.float().cpu(), batch["labels"].cpu()))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._outputs])
        labels = torch.cat([labels for _, labels in self._outputs])
        self._outputs = []
        if self._gather is not None:
            logits, labels = self._gather(logits, labels)
        real = labels != NO_LABEL
        self.epoch_scores = evaluate(logits[real], labels[real], "val")

    def configure_gradient_clipping(
        self,
        optimizer: Any,  # noqa: ARG002
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """By norm. Lightning's own refuses every fused optimizer in mixed precision, though only
        fp16's scales gradients, and `adamw` takes no fused one there."""
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """AdamW (see `optimizer.groups`); warm-up, then linear to zero."""
        optimizer = adamw(self.model, self.config, scaled=self.precision == "16-mixed")
        factor = schedule(self.total_steps, self.config.warmup_ratio)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor),
                "interval": "step",
            },
        }


def mean_loss(state: torch.Tensor) -> float:
    """Of a ``loss_state``, of one process or summed over all."""
    total, rows = state.tolist()
    return float(total / max(1.0, rows))


def class_weights(counts: Sequence[int]) -> torch.Tensor:
    """[classes]: each class by the reverse of its rows; the mean over all training rows is 1."""
    rows = torch.tensor(counts, dtype=torch.float64)
    weights = torch.where(rows > 0, 1 / rows.clamp(min=1), 0.0)
    return (weights * rows.sum() / (weights * rows).sum()).float()


def evaluate(logits: torch.Tensor, labels: torch.Tensor, prefix: str) -> dict[str, float]:
    """``PREFIX_loss``, ``_mcc``, ``_accuracy`` and ``_f1`` of a whole split's logits.

    The loss has no smoothing and no class weights, so that it compares between jobs.
    """
    loss = cross_entropy(logits.double(), labels).item()
    found = scores(labels.tolist(), logits.argmax(dim=-1).tolist(), logits.shape[-1])
    return {
        f"{prefix}_loss": loss,
        f"{prefix}_mcc": found["mcc"],
        f"{prefix}_accuracy": found["accuracy"],
        f"{prefix}_f1": found["f1"],
    }


def _has_types(model: Any) -> bool:
    """Whether the encoder tells the two texts of a pair apart by token types."""
    kinds = getattr(model.config, "type_vocab_size", 0) or 0
    return kinds > 1 and "token_type_ids" in inspect.signature(model.forward).parameters
