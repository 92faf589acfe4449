"""CUDA graphs of training's forward and backward pass: one launch instead of some hundreds.

A step on short texts is over on the GPU before Python has launched its kernels one by one. So
batches are padded to a few widths, and the second one of a shape is captured; from then on the
shape's two passes are replayed. The numbers are those of the kernels launched one by one, dropout
included: what is random hangs on the step alone, also within a graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from byoc.cuda_graphs import recover
from byoc.training.config import TrainingConfig

MULTIPLE = 8
"""Batches on a GPU are padded to a multiple of so many tokens: few shapes, and what tensor cores
want."""
MOST_TOKENS = 4096
"""Of a batch with a graph: with more of them the kernels take longer than their launches."""
MOST_GRAPHS = 16
_SEEN = 2
"""A shape is captured when it comes for the second time: one that comes once costs nothing."""


def wanted(config: TrainingConfig, world: int, *, is_watched: bool) -> bool:
    """Where they can be used, and gain.

    Not by several processes, which exchange gradients in the backward pass; not where gradients
    are accumulated, since a graph leaves them in the same place each time; not with hooks, which
    a replay does not call; and torch.compile has its own way.
    """
    return (
        config.cuda_graphs
        and torch.cuda.is_available()
        and world == 1
        and config.gradient_accumulation_steps == 1
        and not config.gradient_checkpointing
        and not config.compile
        and not is_watched
    )


class Graphs:
    """Logits of ``model`` in training mode, by a graph where the batch's shape has one."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._graphs: dict[tuple[int, ...], Any] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._pool = torch.cuda.graph_pool_handle()
        self.fault = ""
        """Why there are none: the model cannot be captured."""

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Logits [rows, classes]; None where the caller has to compute them."""
        shape = tuple(inputs["input_ids"].shape)
        if shape not in self._graphs and not self._captures(shape, inputs):
            return None
        found: Tensor = self._graphs[shape](*inputs.values())
        return found

    def _captures(self, shape: tuple[int, ...], inputs: Mapping[str, Tensor]) -> bool:
        if self.fault or shape[0] * shape[1] > MOST_TOKENS or len(self._graphs) == MOST_GRAPHS:
            return False
        self._seen[shape] += 1
        if self._seen[shape] < _SEEN or not _has_room():
            return False
        random = torch.cuda.get_rng_state()
        dtype = torch.get_autocast_dtype("cuda")
        # Weights that were cast before the capture would be replayed as they were then.
        autocast = torch.autocast(
            "cuda", dtype, enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False
        )
        # The capture's nodes live on, and sum gradients on its stream: not worth a warning.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        try:
            with autocast:
                self._graphs[shape] = torch.cuda.make_graphed_callables(
                    _Logits(self._model, tuple(inputs)),
                    tuple(values.clone() for values in inputs.values()),
                    allow_unused_input=True,
                    pool=self._pool,
                )
        except RuntimeError as error:
            self.fault = str(error).splitlines()[0]
            self._graphs.clear()
            recover()
            print(f"without CUDA graphs: {self.fault}", flush=True)
            return False
        finally:
            torch.cuda.set_rng_state(random)
        return True


class _Logits(nn.Module):
    """The model with its inputs by position and its logits alone, as a capture wants them."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self._names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self._names, inputs, strict=True))).logits
        return logits


def _has_room() -> bool:
    """Graphs keep their memory for good: at most half of the GPU's."""
    free, total = torch.cuda.mem_get_info()
    return free > total / 2
