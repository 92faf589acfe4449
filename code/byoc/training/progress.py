"""What happens while Lightning trains: metric lines, the best weights, checkpoints, the stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch

from byoc.metric_lines import METRICS, metric_line
from byoc.training import resume
from byoc.training.checkpoint import Checkpoints, State, Tensors
from byoc.training.config import TrainingConfig
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.history import History
from byoc.training.model import Classifier, mean_loss
from byoc.training.optimizer import schedule
from byoc.training.place import Place
from byoc.training.stopping import StopRequest

PROGRESS_SECONDS = 10.0
GPU_LINES = 20
"""Lines of the history that wait for one look at the GPU: each look waits until it has caught up
with the steps that were launched."""
LOGGED_STEPS = 1000
"""About how many steps of a job are logged: a longer job logs every second, third … step."""


class Progress(lightning.Callback):
    """Where training stands; what each step and each epoch leave behind.

    ``epoch`` counts from 0, ``step_in_epoch`` the optimizer steps done in it. An epoch whose steps
    are all done is still unfinished until it has been validated.
    """

    def __init__(
        self,
        config: TrainingConfig,
        place: Place,
        stop: StopRequest,
        checkpoints: Checkpoints,
        steps_per_epoch: int,
        *,
        saves_regularly: bool,
    ) -> None:
        self.config, self._place, self._stop = config, place, stop
        self._checkpoints, self._saves_regularly = checkpoints, saves_regularly
        self.steps_per_epoch = steps_per_epoch
        self._factor = schedule(config.epochs * steps_per_epoch, config.warmup_ratio)
        self._log_every = max(1, config.epochs * steps_per_epoch // LOGGED_STEPS)
        self.epoch = self.step_in_epoch = 0
        self.has_ended = False
        """No epoch is left, or none would help (early stopping)."""
        self.best: dict[str, float] = {}
        self.best_weights: Tensors | None = None
        self.history = History([], [])
        self.precision = ""
        self.ended_by = ""
        """The rule that has ended training before its time, if one did."""
        self._end_asked_by = ""
        self.on_saved: Callable[[float, float], None] = lambda _start, _end: None
        """Is told of each checkpoint: from when to when, in seconds since 1970."""
        self._resumed: State | None = None
        self._first_step = 0
        self._logged = torch.zeros(2)
        self._unsettled: list[tuple[dict[str, Any], torch.Tensor, torch.Tensor]] = []
        self._said = self._saved = time.monotonic()

    @property
    def step(self) -> int:
        """Optimizer steps done in all."""
        return self.epoch * self.steps_per_epoch + self.step_in_epoch

    @property
    def awaits_validation(self) -> bool:
        return not self.has_ended and self.step_in_epoch == self.steps_per_epoch

    # -- going on from a checkpoint

    def restore(self, state: State, classifier: Classifier) -> None:
        """Everything but the optimizer, which Lightning makes later."""
        facts = state.facts
        self.epoch, self.step_in_epoch = facts["epoch"], facts["step_in_epoch"]
        self.has_ended, self.best = facts["has_ended"], facts["best"]
        self.history = History.from_json(facts["history"])
        resume.put_back(classifier.model, state.part("model"))
        if self.best:
            self.best_weights = state.part("model" if facts["best_is_model"] else "best")
        # The running sums are of all processes together: the first one takes them up.
        loss = state.tensors["loss"]
        classifier.set_loss_state(loss if self._place.is_first else torch.zeros_like(loss))
        self._logged = state.tensors["logged"]
        self._resumed = state

    def save(self, trainer: lightning.Trainer, classifier: Classifier) -> None:
        """Writes a checkpoint of this moment; every process calls it at the same step."""
        started = time.time()
        self._settle()
        loss = self._place.total(classifier.loss_state())
        self._saved = time.monotonic()
        if not self._place.is_first:
            return
        state = resume.collect(trainer, classifier)
        state.tensors["loss"] = loss
        state.tensors["logged"] = loss - (classifier.loss_state().cpu() - self._logged.cpu())
        finished = self.step_in_epoch == 0 or self.has_ended
        best_is_model = finished and self.best.get("epoch") == self.epoch
        if self.best_weights is not None and not best_is_model:
            state.add("best", self.best_weights)
        state.facts |= {
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "has_ended": self.has_ended,
            "best": self.best,
            "best_is_model": best_is_model,
            "history": self.history.to_json(),
            "precision": self.precision,
        }
        self._checkpoints.write(self.step, state)
        self.on_saved(started, time.time())

    def end_early(self, rule: str) -> None:
        """After the present step: validates, and keeps the best epoch's weights. Any thread may
        call it; all processes end together."""
        self._end_asked_by = self._end_asked_by or rule

    # -- steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        self._stop.install()  # Lightning has put a handler of its own, which waits for the others
        if self._resumed is not None:
            resume.restore_optimizer(trainer, self._resumed)
            self._resumed = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        self._first_step = self.step_in_epoch
        if self.step_in_epoch == 0:
            self._logged = torch.zeros_like(pl_module.loss_state())

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        micro_batch = self._first_step * self.config.gradient_accumulation_steps + batch_idx
        _seed(self.config.seed, self.epoch, micro_batch, self._place.rank)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % self.config.gradient_accumulation_steps:
            return
        self.step_in_epoch += 1
        if self.step % self._log_every == 0:
            self._log(pl_module)
        if not self._place.looks_at(self.step_in_epoch):
            return
        stops, saves, ends = self._place.any(
            self._stop.requested, self._is_due(), bool(self._end_asked_by)
        )
        if ends:
            trainer.should_stop = True  # Lightning validates then, as at the end of an epoch
        if stops or (saves and not self.awaits_validation):
            self.save(trainer, pl_module)
        if stops:
            raise StoppedError

    def _is_due(self) -> bool:
        seconds = self.config.checkpoint_seconds
        return self._saves_regularly and 0 < seconds <= time.monotonic() - self._saved

    def _log(self, classifier: Classifier) -> None:
        """A line of the history: the mean loss since the last one."""
        now = classifier.loss_state().clone()
        line = {
            "step": self.step,
            "epoch": self.epoch + 1,
            "train_loss": math.nan,
            # The optimizer's own is the next step's by now.
            "lr": self.config.lr * self._factor(self.step - 1),
        }
        self._unsettled.append((line, self._logged.to(now), now))
        self._logged = now
        says = self._place.is_first and time.monotonic() - self._said >= PROGRESS_SECONDS
        if says or now.device.type == "cpu" or len(self._unsettled) >= GPU_LINES:
            self._settle()
        if says:
            self._said = time.monotonic()
            print(
                f"epoch {self.epoch + 1} of {self.config.epochs}, step {self.step_in_epoch} of "
                f"{self.steps_per_epoch}: training loss {line['train_loss']:.4f}",
                flush=True,
            )

    def _settle(self) -> None:
        """The losses of the lines that wait for them; raises where one is not a number."""
        lines, self._unsettled = self._unsettled, []
        if not lines:
            return
        befores = torch.stack([before for _, before, _ in lines]).cpu()
        afters = torch.stack([after for _, _, after in lines]).cpu()
        for (line, _, _), sums in zip(lines, afters - befores, strict=True):
            line["train_loss"] = mean_loss(sums)
            if not math.isfinite(line["train_loss"]):
                step = line["step"] - self.epoch * self.steps_per_epoch
                raise TrainingFault(
                    f"training diverged in epoch {line['epoch']}, step {step}: the loss "
                    "is not a number; lower lr"
                )
            self.history.steps.append(line)

    # -- epochs

    def on_validation_start(self, *_: Any) -> None:
        self._stop.install()

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        # Every process has as many batches, so all of them look at the same places.
        if not self._place.looks_at(batch_idx) or not self._place.any(self._stop.requested)[0]:
            return
        if trainer.optimizers:
            self.save(trainer, pl_module)
        raise StoppedError

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        was_cut = self.step_in_epoch < self.steps_per_epoch
        ends = self._place.any(bool(self._end_asked_by))[0]
        self.finish_epoch(pl_module)
        if ends and (was_cut or not self.has_ended):
            self.has_ended, self.ended_by = True, self._end_asked_by
        trainer.should_stop = self.has_ended
        stops = self._place.any(self._stop.requested)[0]
        if self._saves_regularly or stops:
            self.save(trainer, pl_module)
        if stops and not self.has_ended:
            raise StoppedError

    def finish_epoch(self, classifier: Classifier) -> None:
        """After the validation: the metric line, the best weights, whether to go on."""
        self._settle()
        train_loss = mean_loss(self._place.total(classifier.loss_state()))
        classifier.set_loss_state(torch.zeros_like(classifier.loss_state()))
        values = {**classifier.epoch_scores, "train_loss": train_loss}
        number = self.epoch + 1
        if self._place.is_first:
            found = {"epoch": number, **{name: values[name] for name in METRICS}}
            print(metric_line(found), flush=True)
        if not all(math.isfinite(values[name]) for name in ("val_loss", "train_loss")):
            raise TrainingFault(
                f"training diverged in epoch {number}: the loss is not a number; lower lr"
            )
        self.history.epochs.append({"step": self.step, "epoch": number, **values})
        if self._is_better(values):
            self.best_weights = resume.copies(classifier.model)
            self.best = {**values, "epoch": number}
        self.epoch, self.step_in_epoch = number, 0
        patience = self.config.early_stopping_patience
        if 0 < patience <= number - self.best["epoch"]:
            if self._place.is_first:
                monitor = self.config.monitor
                print(f"no better {monitor} for {patience} epochs: stopping", flush=True)
            self.has_ended = True
        self.has_ended = self.has_ended or number == self.config.epochs

    def _is_better(self, values: dict[str, float]) -> bool:
        if not self.best:
            return True
        monitor = self.config.monitor
        gain = values[monitor] - self.best[monitor]
        return gain < 0 if monitor == "val_loss" else gain > 0


def _seed(*numbers: int) -> None:
    """What is random in a step (dropout) hangs on the step alone: nothing of it need be saved."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)
