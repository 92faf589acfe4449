"""What happens while Lightning trains: metric lines, the best weights, early and ordered stops."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as lightning
import torch

from byoc.metric_lines import METRICS, metric_line
from byoc.training.config import TrainingConfig
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.model import Classifier

PROGRESS_SECONDS = 10.0


class StopRequest:
    """Set by SIGTERM. Before training it ends the job at once, in training after the batch."""

    def __init__(self) -> None:
        self.requested = False
        self.at_once = True

    def ask(self) -> None:
        self.requested = True
        if self.at_once:
            raise StoppedError

    def check(self) -> None:
        """Raises ``StoppedError`` where a stop was asked for."""
        if self.requested:
            raise StoppedError


class EpochReport(lightning.Callback):
    """Prints each epoch's metric line and keeps the best epoch's weights, on the CPU."""

    def __init__(self, config: TrainingConfig, stop: StopRequest) -> None:
        self._config = config
        self._stop = stop
        self._reported = time.monotonic()
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.steps = 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        self.steps += 1
        self._stop.check()
        if time.monotonic() - self._reported < PROGRESS_SECONDS:
            return
        self._reported = time.monotonic()
        print(
            f"epoch {trainer.current_epoch + 1} of {self._config.epochs}, batch {batch_idx + 1} of "
            f"{trainer.num_training_batches}: mean training loss {pl_module.train_loss:.4f}",
            flush=True,
        )

    def on_validation_batch_end(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ARG002
        self._stop.check()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        classifier: Classifier = pl_module
        values = {**classifier.epoch_scores, "train_loss": classifier.train_loss}
        epoch = trainer.current_epoch + 1
        print(metric_line({"epoch": epoch, **{name: values[name] for name in METRICS}}), flush=True)
        if not all(math.isfinite(values[name]) for name in ("val_loss", "train_loss")):
            if self.best_weights is None:
                raise TrainingFault(
                    f"training diverged in epoch {epoch}: the loss is not a number; lower lr"
                )
            trainer.should_stop = True
        elif self._is_better(values):
            self.best_weights = {
                name: weight.detach().to("cpu", copy=True)
                for name, weight in classifier.model.state_dict().items()
            }
            self.best = {**values, "epoch": epoch}
        elif 0 < self._config.early_stopping_patience <= epoch - self.best["epoch"]:
            patience = self._config.early_stopping_patience
            print(f"no better {self._config.monitor} for {patience} epochs: stopping", flush=True)
            trainer.should_stop = True

    def _is_better(self, values: dict[str, float]) -> bool:
        if not self.best:
            return True
        monitor = self._config.monitor
        gain = values[monitor] - self.best[monitor]
        return gain < 0 if monitor == "val_loss" else gain > 0
