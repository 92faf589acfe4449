"""Faults that are planted into real trainings, each by its name."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from byoc.training.data import Batch

Row = tuple[str, int]


def rows(fault: str, found: list[Row], seed: int) -> list[Row]:
    """Training rows with the fault in them."""
    draw = random.Random(seed)  # noqa: S311 (no secret)
    if fault == "shuffled-labels":
        labels = [label for _, label in found]
        draw.shuffle(labels)
        return [(text, label) for (text, _), label in zip(found, labels, strict=True)]
    if fault == "other-order":
        return draw.sample(found, len(found))
    if fault == "one-class":
        most = [row for row in found if row[1] == 1]
        few = [row for row in found if row[1] == 0][: max(1, len(most) // 19)]
        return draw.sample([*most, *few], len(most) + len(few))
    return found


@torch.no_grad()
def weights(fault: str, model: Any) -> Any:
    """The model with the fault in it."""
    if fault == "late-start":
        time.sleep(60)
    if fault in ("zero-weights", "wide-weights"):
        for weight in model.parameters():
            if fault == "zero-weights":
                weight.zero_()
            else:
                weight.normal_(0, 10)
    if fault == "frozen-layer":
        for weight in next(m for m in model.modules() if isinstance(m, nn.ModuleList))[
            0
        ].parameters():
            weight.requires_grad_(False)
    return model


def loader(fault: str, batches: Any) -> Any:
    """The training loader with the fault in it."""
    if fault == "sleeping-loader":
        return Changed(batches, Late())
    if fault == "padding":
        return Changed(batches, _padded)
    return batches


class Changed:
    """A loader whose batches are changed on their way; Lightning takes any iterable."""

    def __init__(self, batches: Any, change: Callable[[Batch], Batch]) -> None:
        self._batches, self._change = batches, change

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._change, self._batches)


class Late:
    """Each batch comes after twice the time that a step takes, on a busy machine too."""

    LEAST = 0.1

    def __init__(self) -> None:
        self._given = time.perf_counter()
        self._steps = [self.LEAST / 2]

    def __call__(self, batch: Batch) -> Batch:
        self._steps.append(time.perf_counter() - self._given)
        time.sleep(max(self.LEAST, 2 * median(self._steps[-20:])))
        self._given = time.perf_counter()
        return batch


def _padded(batch: Batch, length: int = 64) -> Batch:
    missing = length - batch["input_ids"].shape[1]
    for name in ("input_ids", "attention_mask"):
        batch[name] = nn.functional.pad(batch[name], (0, max(0, missing)))
    return batch


class SlowSteps:
    """A training step in every 40 takes 20 times as long as the others."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step, self._seconds = step, [0.0]
        self._count = 0

    def __call__(self, *args: Any) -> Any:
        start = time.perf_counter()
        result = self._step(*args)
        self._seconds.append(time.perf_counter() - start)
        self._count += 1
        if self._count % 40 == 39:
            # Backward and optimizer take about twice as long as forward.
            time.sleep(20 * 3 * median(self._seconds[-40:]))
        return result


class Stall:
    """The 20th training step hangs for longer than `rule_jobs.SECONDS`."""

    SECONDS = 40.0

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step, self._count = step, 0

    def __call__(self, *args: Any) -> Any:
        self._count += 1
        if self._count == 20:
            time.sleep(self.SECONDS)
        return self._step(*args)


STEPS: dict[str, Callable[[Any], Callable[..., Any]]] = {"slow-steps": SlowSteps, "stall": Stall}
"""By fault: what goes round the training step."""


class StackConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    model_type = "stack"


class Stack(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Twelve narrow layers on the mean of the words' vectors; no residual, no normalization.

    ``kind``: sigmoid (its gradients vanish), tanh (with weights that saturate it) or relu (with
    biases that kill it).
    """

    config_class = StackConfig
    LAYERS, WIDTH = 12, 32

    def __init__(self, config: Any, kind: str, words: int) -> None:
        super().__init__(config)
        self.words = nn.Embedding(words, self.WIDTH)
        module = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[kind]
        for number in range(self.LAYERS):
            self.add_module(f"linear{number}", nn.Linear(self.WIDTH, self.WIDTH))
            self.add_module(f"{kind}{number}", module())
        self.head = nn.Linear(self.WIDTH, config.num_labels)
        self._kind = kind
        with torch.no_grad():
            for number in range(self.LAYERS):
                linear = getattr(self, f"linear{number}")
                if kind == "tanh":
                    linear.weight.mul_(100)
                if kind == "relu":
                    linear.bias.fill_(-100)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        mask = attention_mask[..., None]
        found = (self.words(input_ids) * mask).sum(1) / mask.sum(1)
        for number in range(self.LAYERS):
            found = getattr(self, f"linear{number}")(found)
            found = getattr(self, f"{self._kind}{number}")(found)
        return SequenceClassifierOutput(logits=self.head(found))
