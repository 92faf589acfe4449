"""Three ways to take the same steps: ours, the common recipe, and `transformers.Trainer`.

Each is an object whose ``run`` takes a few steps on its own copy of the model and tells how long
they took; the first step of each run, which makes the optimizer's state, is not counted.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

from byoc.training import encoder, fit
from byoc.training.checkpoint import Checkpoints
from byoc.training.data import Batch, TextData, global_batches, shares
from byoc.training.model import Classifier
from byoc.training.place import Place
from byoc.training.precision import FULL
from byoc.training.prepare import Prepared
from byoc.training.progress import Progress
from byoc.training.stopping import StopRequest


@dataclass
class Run:
    """Steps that were taken; seconds by what they were spent on."""

    rows: int = 0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.rows / self.seconds

    @property
    def outside(self) -> float:
        """The share of the time that no part accounts for."""
        return 1 - sum(self.parts.values()) / self.seconds


class _EnoughError(Exception):
    pass


class SampledSteps(TextData):
    """``steps`` of an epoch that stand for all of it: at equal distances in the order of their
    lengths. One of middling length comes before them."""

    steps = 1
    number = 0

    def train_dataloader(self) -> DataLoader[Batch]:
        config, lengths = self._config, self.tokens["train"].lengths
        batches = global_batches(lengths, config.batch_size, config.seed, self.number)
        batches.sort(key=lambda rows: int(lengths[rows].max()))
        places = (np.arange(self.steps) + 0.5) * len(batches) / self.steps
        picked = [batches[len(batches) // 2], *(batches[int(place)] for place in places)]
        return self._loader("train", list(shares(picked, 0, 1, 1)))


class Watch(lightning.Callback):
    """Where a step's time goes, by Lightning's hooks."""

    def __init__(self, steps: int) -> None:
        self.run, self._left, self._started = Run(), steps, 0.0
        self._marks: dict[str, float] = {}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        forward = pl_module.training_step

        def training_step(*words: Any) -> Any:
            self._begin("forward")
            loss = forward(*words)
            self._end("forward")
            return loss

        pl_module.training_step = training_step
        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(lambda *_: self._end("optimizer"))
            optimizer.zero_grad = self._timed(optimizer.zero_grad)  # type: ignore[method-assign]

    def _timed(self, zero_grad: Callable[..., None]) -> Callable[..., None]:
        def timed(*words: Any, **named: Any) -> None:
            self._begin("optimizer")
            zero_grad(*words, **named)
            self._end("optimizer")

        return timed

    def on_before_backward(self, *_: Any) -> None:
        self._begin("backward")

    def on_after_backward(self, *_: Any) -> None:
        self._end("backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self._begin("optimizer")  # clipping, then the update

    def _begin(self, part: str) -> None:
        self._marks[part] = time.perf_counter()

    def _end(self, part: str) -> None:
        took = time.perf_counter() - self._marks[part]
        self.run.parts[part] = self.run.parts.get(part, 0.0) + took

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Any,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        now = time.perf_counter()
        if not self._started:
            self._started, self.run.parts = now, {}
            return
        self.run.rows += len(batch["labels"])
        self.run.seconds = now - self._started
        self._left -= 1
        if not self._left:
            raise _EnoughError


class Ours:
    """TextData, Classifier, Progress and the Trainer as `fit.train` puts them together."""

    def __init__(self, prepared: Prepared, precision: str = FULL) -> None:
        self.prepared, self.precision = prepared, precision
        self.tokenizer = prepared.tokenizer()
        self.model = load(prepared)

    def run(self, steps: int, number: int) -> Run:
        """``steps`` of epoch ``number``."""
        prepared, config, place = self.prepared, self.prepared.config, Place()
        data = SampledSteps(prepared.tokens(), self.tokenizer.pad_token_id, config)
        data.steps, data.number = steps, number
        classifier = Classifier(
            self.model,
            config,
            total_steps=config.epochs * data.steps_per_epoch(),
            class_counts=prepared.counts["train"],
            precision=self.precision,
        )
        kept = Checkpoints(prepared.folder / "checkpoints", prepared.identity, 1)
        progress = Progress(
            config, place, StopRequest(), kept, data.steps_per_epoch(), saves_regularly=False
        )
        progress.precision = self.precision
        fit._quiet()
        trainer = fit._trainer(progress, place)
        watch = Watch(steps)
        # Last, so that what Progress does at a step's end is in the step's time.
        trainer.callbacks.append(watch)  # type: ignore[attr-defined]
        with contextlib.suppress(_EnoughError):
            trainer.fit(classifier, data)
        return watch.run


class CommonRecipe:
    """Every row padded to ``max_length`` when it is tokenized, random batches, a plain loop."""

    def __init__(self, prepared: Prepared, device: str = "cpu", *, bf16: bool = False) -> None:
        self.config, self.device, self.bf16 = prepared.config, device, bf16
        self.rows = padded(prepared, prepared.length)
        self.model = load(prepared).to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.config.lr)
        self._step({name: values[:1] for name, values in self.rows.items()})

    def run(self, steps: int, number: int) -> Run:
        size = self.config.batch_size
        random = torch.Generator().manual_seed(number)
        order = torch.randperm(len(self.rows["labels"]), generator=random)[: steps * size]
        start = time.perf_counter()
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            self._step({name: values[rows] for name, values in self.rows.items()})
        if self.device != "cpu":
            torch.cuda.synchronize()
        return Run(len(order), time.perf_counter() - start)

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        batch = {name: values.to(self.device) for name, values in batch.items()}
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            loss = self.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Peer:
    """`transformers.Trainer` with its own defaults and dynamic padding."""

    def __init__(self, prepared: Prepared, scratch: Path) -> None:
        self.prepared, self.scratch = prepared, scratch
        self.tokenizer = prepared.tokenizer()
        self.model = load(prepared)
        tokens = prepared.tokens()["train"]
        self.rows = [
            {"input_ids": tokens.ids(row).tolist(), "labels": int(tokens.labels[row])}
            for row in range(len(tokens))
        ]

    def run(self, steps: int, number: int) -> Run:
        from transformers import Trainer, TrainingArguments

        config = self.prepared.config
        arguments = TrainingArguments(
            output_dir=str(self.scratch),
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.lr,
            max_steps=steps + 1,
            seed=number,
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        stamps = _stamps()
        trainer = Trainer(
            model=self.model,
            args=arguments,
            train_dataset=self.rows,
            data_collator=self.collator(),
            callbacks=[stamps],
        )
        train_quietly(trainer)
        return Run(steps * config.batch_size, stamps.times[-1] - stamps.times[0])

    def collator(self) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)


def train_quietly(trainer: Any) -> None:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()


def _stamps() -> Any:
    """Notes when each step of a `transformers.Trainer` ends."""
    from transformers import TrainerCallback

    class Stamps(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

    return Stamps()


def load(prepared: Prepared) -> Any:
    return encoder.model(prepared.source, prepared.config, prepared.tokenizer(), prepared.names)


def padded(prepared: Prepared, length: int) -> dict[str, torch.Tensor]:
    """All training rows, [rows, length]."""
    tokens, pad = prepared.tokens()["train"], prepared.tokenizer().pad_token_id
    ids = np.full((len(tokens), length), pad, np.int64)
    for row in range(len(tokens)):
        ids[row, : tokens.lengths[row]] = tokens.ids(row)
    mask = (np.arange(length) < tokens.lengths[:, None]).astype(np.int64)
    found = {"input_ids": ids, "attention_mask": mask, "labels": tokens.labels}
    return {name: torch.from_numpy(values) for name, values in found.items()}
