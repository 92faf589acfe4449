"""Hands training's tensors to smdebug's hook: which, when, and under which names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from smdebug.core.modes import ModeKeys
from torch import nn
from torch.nn.functional import cross_entropy

from byoc.debugger import names
from byoc.debugger.capture.hook import TensorHook
from byoc.debugger.capture.samples import percentiles, sample

NO_LABEL = -100
_KINDS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.Mish)


class TensorCapture:
    """``model``: the Hugging Face model that is trained; ``step`` and ``eval_step``: the optimizer
    steps and validation batches that are done already; ``hooks_modules``: whether forward hooks can
    be put on modules (not on those that torch.compile has taken)."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        model: Any,
        *,
        step: int = 0,
        eval_step: int = 0,
        hooks_modules: bool = True,
    ) -> None:
        self.step, self.eval_step = step, eval_step
        self._model = model
        found = activation_modules(model) if hooks_modules else []
        self.hook = TensorHook(folder, config, found, first=step + eval_step)
        self._hooked = self._modules_to_hook() if hooks_modules else []
        self._loss_before = torch.zeros(2)
        self._weights_before: dict[str, torch.Tensor] = {}
        self.saves = False
        """Whether the present step is one that is saved."""
        self._handles: list[Any] = []

    # -- a training step

    def begin_step(self, loss_state: torch.Tensor) -> None:
        """Before its first micro-batch; ``loss_state``: [sum of losses, rows] so far."""
        self.saves = self.hook.begin(ModeKeys.TRAIN, self.step, self.step + self.eval_step)
        if self.saves:
            self._loss_before = loss_state.clone()

    def begin_last_micro_batch(self) -> None:
        if not self.saves:
            return
        for name, module in self._hooked:
            self._handles.append(
                module.register_forward_hook(functools.partial(self._forward, name))
            )

    def before_update(self) -> None:
        """Gradients are whole, unscaled and not clipped; weights are those they were made with."""
        if not self.saves:
            return
        self._unhook()
        for name, weights in self._model.named_parameters():
            gradient = names.gradient(name)
            if weights.grad is not None:
                self.hook.write(gradient, weights.grad)
                self._write_percentiles(gradient, weights.grad)
            self.hook.write(name, weights)
            if weights.requires_grad and self.hook.wants(names.update_ratio(name)):
                self._weights_before[name] = sample(weights)

    def end_step(self, loss_state: torch.Tensor, logits: torch.Tensor, batch: Any) -> bool:
        """After the update; whether the step was saved. ``batch``: the last micro-batch."""
        if self.saves:
            self._unhook()
            total, rows = (loss_state - self._loss_before).tolist()
            if rows:
                self.hook.write(names.LOSS, torch.tensor(total / rows))
            self._write_updates()
            self._write_predictions(logits, batch)
        self.step += 1
        return self._end()

    # -- a batch of a validation

    def begin_batch(self) -> None:
        self.saves = self.hook.begin(ModeKeys.EVAL, self.eval_step, self.step + self.eval_step)

    def end_batch(self, logits: torch.Tensor, batch: Any) -> bool:
        """Whether the batch was saved."""
        if self.saves:
            labels = batch["labels"].to(logits.device)
            loss = cross_entropy(logits.float(), labels, ignore_index=NO_LABEL)
            if bool((labels != NO_LABEL).any()):
                self.hook.write(names.LOSS, loss)
            self._write_predictions(logits, batch)
        self.eval_step += 1
        return self._end()

    def _end(self) -> bool:
        if not self.saves:
            return False
        self.saves = False
        return self.hook.end()

    # -- parts

    def _modules_to_hook(self) -> list[tuple[str, Any]]:
        """Those whose input or output has a name that some collection wants."""
        return [
            (name, module)
            for name, module in self._model.named_modules()
            if name and any(self.hook.wants_any(f"{name}_{side}_0") for side in ("input", "output"))
        ]

    def _forward(self, name: str, _module: Any, inputs: Any, output: Any) -> None:
        with self.guard():
            for side, values in (("input", inputs), ("output", output)):
                values = values if isinstance(values, tuple | list) else (values,)
                tensors = [value for value in values if torch.is_tensor(value)]
                for number, value in enumerate(tensors):
                    full = f"{name}_{side}_{number}"
                    # Gradient checkpointing goes forward twice.
                    if self.hook.wants(full) and self.hook.is_new(full):
                        self.hook.write(full, value)
                        self._write_percentiles(full, value, names.ACTIVATION_PERCENTS)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Round what torch calls in the middle of training: no fault may get out of it."""
        if self.on_fault is None:
            yield
            return
        try:
            yield
        except Exception as error:
            self.on_fault(error)

    on_fault: Callable[[Exception], None] | None = None

    def _unhook(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _write_percentiles(
        self, name: str, value: torch.Tensor, percents: tuple[int, ...] = names.PERCENTS
    ) -> None:
        if not value.numel() or not self.hook.wants(names.percentile(name, percents[0])):
            return
        for percent, number in zip(percents, percentiles(value, percents), strict=True):
            self.hook.write(names.percentile(name, percent), torch.tensor(number))

    def _write_updates(self) -> None:
        weights = dict(self._model.named_parameters())
        for name, before in self._weights_before.items():
            spread, change = _std(before), _std(sample(weights[name]) - before)
            if spread > 0:
                self.hook.write(names.update_ratio(name), torch.tensor(change / spread))
        self._weights_before = {}

    def _write_predictions(self, logits: torch.Tensor, batch: Any) -> None:
        self.hook.write(names.LABELS, batch["labels"])
        self.hook.write(names.PREDICTIONS, logits.argmax(dim=-1))
        self.hook.write(names.INPUT_IDS, batch["input_ids"])

    def finish(self, marks_end: bool) -> None:
        self._unhook()
        self.hook.finish(marks_end)

    def drop(self) -> None:
        """After a fault: nothing of it stays in the model."""
        self._unhook()
        self._weights_before = {}
        self.hook.drop()


def activation_modules(model: Any) -> list[str]:
    """Names of the modules that are activation functions: torch's own and transformers'."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, _KINDS) or type(module).__module__ == "transformers.activations"
    ]


def _std(values: torch.Tensor) -> float:
    """In double precision: changes are small beside the weights."""
    return float(np.std(values.double().cpu().numpy()))
