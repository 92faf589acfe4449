"""The Lightning callback of a job that is debugged. No fault in it ends training."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytorch_lightning as lightning

from byoc.debugger.capture.facts import Facts
from byoc.debugger.capture.live import LiveRules
from byoc.debugger.capture.phases import BACKWARD, FORWARD, TRAIN_STEP, PhaseWriter
from byoc.debugger.capture.profiling import OperatorProfile
from byoc.debugger.capture.sampler import Sampler
from byoc.debugger.capture.tensors import TensorCapture

Method = TypeVar("Method", bound=Callable[..., None])


def guarded(method: Method) -> Method:
    """A fault in ``method`` ends debugging, with one line, and nothing else."""

    @functools.wraps(method)
    def call(self: Debugging, *args: Any, **kwargs: Any) -> None:
        if self.has_ended:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.end(error)

    return cast(Method, call)


class Debugging(lightning.Callback):
    """What is captured while Lightning trains. It comes before the callbacks that may end a step.

    All but ``sampler`` are None in a process that is not the job's first one; ``live`` also where
    no rule runs in the job.
    """

    def __init__(
        self,
        *,
        micro_batches: int,
        step: int,
        marks_end: bool,
        tensors: TensorCapture | None,
        phases: PhaseWriter | None,
        profile: OperatorProfile | None,
        facts: Facts | None,
        live: LiveRules | None,
        sampler: Sampler | None,
    ) -> None:
        self.has_ended = self.has_failed = False
        self._micro_batches, self._marks_end = micro_batches, marks_end
        self._tensors, self._phases, self._profile = tensors, phases, profile
        self._facts, self._live, self._sampler = facts, live, sampler
        self._step = step
        self._loop_started = 0.0
        self._loop_ended = 0.0
        self._step_started = self._mark = self._batch_ended = self._validation_started = 0.0
        if tensors is not None:
            tensors.on_fault = self.end

    def end(self, error: Exception) -> None:
        """After a fault: says so, once, and lets go of everything."""
        if self.has_ended:
            return
        self.has_ended = self.has_failed = True
        said = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, OSError):
            said = f"{type(error).__name__}: {said}"
        print(f"debugging ends here, training goes on: {said[:500]}", flush=True)
        for drop in (self._tensors, self._profile, self._live):
            if drop is not None:
                _quietly(drop.drop)
        if self._sampler is not None:
            _quietly(self._sampler.finish)
        if self._facts is not None:
            facts = self._facts
            _quietly(lambda: facts.write(debugging_ended=said))
        self._tensors = self._phases = self._profile = None
        self._facts = self._live = self._sampler = None

    # -- the job's three parts

    @guarded
    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        if self._profile is not None and self._profile.turns(self._step):
            self._profile.turn(self._step)
        self._loop_started = self._batch_ended = time.time()
        if self._facts is not None:
            self._span("Initialization", self._facts.content["started"], self._loop_started)
            self._facts.write(loop_started=self._loop_started)

    @guarded
    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        self._end_loop()

    def _end_loop(self) -> None:
        if self._loop_started and not self._loop_ended:
            self._loop_ended = time.time()
            self._span("TrainLoop", self._loop_started, self._loop_ended)

    @guarded
    def finish(self) -> None:
        """When everything else of the job is done, also of one that fails or is stopped."""
        self._end_loop()
        if self._tensors is not None:
            self._tensors.finish(self._marks_end)
        if self._profile is not None:
            self._profile.finish()
        if self._sampler is not None:
            self._sampler.finish()
        if self._live is not None:
            self._live.finish()
        if self._loop_ended:
            self._span("Finalization", self._loop_ended, time.time())
        if self._phases is not None:
            self._phases.finish()
        if self._facts is not None:
            self._facts.finish(steps=self._step, loop_ended=self._loop_ended or None)
        self.has_ended = True

    # -- steps

    @guarded
    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now = time.time()
        micro_batch = batch_idx % self._micro_batches
        if micro_batch == 0:
            self._step_started = self._batch_ended or now
        self._step_span("DataLoading", self._batch_ended or now, now)
        if self._facts is not None:
            self._facts.count(batch["attention_mask"])
        if self._tensors is not None:
            before = time.time()
            if micro_batch == 0:
                self._tensors.begin_step(pl_module.loss_state())
            if micro_batch == self._micro_batches - 1:
                self._tensors.begin_last_micro_batch()
            if self._tensors.saves:
                self._step_span("Hook", before, time.time())
        self._mark = time.time()

    @guarded
    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:  # noqa: ARG002
        self._step_span(FORWARD, self._mark)

    @guarded
    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._step_span(BACKWARD, self._mark)

    @guarded
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:  # noqa: ARG002
        if self._tensors is not None and self._tensors.saves:
            before = time.time()
            self._tensors.before_update()
            self._step_span("Hook", before)

    @guarded
    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % self._micro_batches:
            self._batch_ended = time.time()
            return
        self._step_span("Optimizer", self._mark)
        if self._tensors is not None:
            saves, before = self._tensors.saves, time.time()
            saved = self._tensors.end_step(pl_module.loss_state(), pl_module.last_logits, batch)
            self._run_rules(saved)
            if saves:
                self._step_span("Hook", before)
        self._batch_ended = time.time()
        self._step_span(TRAIN_STEP, self._step_started, self._batch_ended)
        self._step += 1
        if self._profile is not None and self._profile.turns(self._step):
            # Between two steps: starting and writing take as long as many of them.
            before = self._batch_ended
            self._profile.turn(self._step)
            self._batch_ended = time.time()
            self._span("Hook", before, self._batch_ended)

    # -- validation

    @guarded
    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        self._validation_started = time.time()

    @guarded
    def on_validation_batch_start(self, trainer: Any, *_: Any, **__: Any) -> None:
        if self._tensors is not None and not trainer.sanity_checking:
            self._tensors.begin_batch()

    @guarded
    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        *_: Any,
        **__: Any,
    ) -> None:
        if self._tensors is None or trainer.sanity_checking:
            return
        before, saves = time.time(), self._tensors.saves
        self._run_rules(self._tensors.end_batch(pl_module.last_logits, batch))
        if saves:
            self._span("Hook", before, time.time())

    @guarded
    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        now = time.time()
        self._span("Validation", self._validation_started, now, self._step)
        self._batch_ended = now  # the next step's data are loaded from here on

    @guarded
    def saved_checkpoint(self, start: float, end: float) -> None:
        """Training has written one, from ``start`` to ``end`` in seconds since 1970."""
        self._span("Checkpoint", start, end, self._step)
        self._batch_ended = max(self._batch_ended, end)

    def _run_rules(self, saved: bool) -> None:
        file = self._tensors.hook.last if saved and self._tensors is not None else None
        if file is not None and self._live is not None:
            self._live.take(file)

    # -- spans

    def _step_span(self, phase: str, start: float, end: float = 0.0) -> None:
        """A part of the present step, until now; the next part begins here."""
        self._mark = end or time.time()
        if self._phases is not None and self._phases.writes(self._step):
            self._phases.add(phase, start, self._mark, self._step)

    def _span(self, phase: str, start: float, end: float, step: int = -1) -> None:
        if self._phases is not None:
            self._phases.add(phase, start, end, step)


def _quietly(drop: Callable[[], None]) -> None:
    try:
        drop()
    except Exception as error:
        print(f"debugging: while letting go: {error}", flush=True)
