"""The encoder as a LightningModule: loss, optimizer, schedule, validation scores."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
import torch

from byoc.scores import scores
from byoc.training.config import TrainingConfig

Batch = dict[str, torch.Tensor]


class Classifier(lightning.LightningModule):
    """``model`` is any Hugging Face sequence classifier."""

    def __init__(self, model: Any, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.epoch_scores: dict[str, float] = {}
        """The last validation's ``val_*`` and, once its epoch has ended, ``train_loss``."""
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._loss_sum, self._rows = torch.zeros(()), 0

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits [batch, classes]."""
        logits: torch.Tensor = self.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return logits

    def on_train_epoch_start(self) -> None:
        self._loss_sum, self._rows = torch.zeros((), device=self.device), 0

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:  # noqa: ARG002
        loss = torch.nn.functional.cross_entropy(self(batch).float(), batch["labels"])
        rows = len(batch["labels"])
        self._loss_sum = self._loss_sum + loss.detach() * rows  # no .item(): it would wait
        self._rows += rows
        return loss

    @property
    def train_loss(self) -> float:
        """The mean over the rows of this epoch so far."""
        return float(self._loss_sum) / max(1, self._rows)

    def on_validation_epoch_start(self) -> None:
        self._outputs = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        self._outputs.append((self(batch).float().cpu(), batch["labels"].cpu()))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._outputs])
        labels = torch.cat([labels for _, labels in self._outputs])
        self.epoch_scores = evaluate(logits, labels, "val")

    def configure_optimizers(self) -> Any:
        """AdamW; no decay of biases and norms; warm-up, then linear to zero."""
        weights = [w for w in self.model.parameters() if w.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [w for w in weights if w.ndim > 1]},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups,
            lr=self.config.lr,
            eps=self.config.eps,
            weight_decay=self.config.weight_decay,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warm_up = max(1, round(steps * self.config.warmup_ratio))

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return max(0.0, (steps - step) / max(1, steps - warm_up))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def evaluate(logits: torch.Tensor, labels: torch.Tensor, prefix: str) -> dict[str, float]:
    """``PREFIX_loss``, ``_mcc``, ``_accuracy`` and ``_f1`` of a whole split's logits."""
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    found = scores(labels.tolist(), logits.argmax(dim=-1).tolist(), logits.shape[-1])
    return {
        f"{prefix}_loss": loss,
        f"{prefix}_mcc": found["mcc"],
        f"{prefix}_accuracy": found["accuracy"],
        f"{prefix}_f1": found["f1"],
    }
