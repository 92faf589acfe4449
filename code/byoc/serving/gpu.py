"""A model on a GPU: batches of a few shapes, each a CUDA graph that one call launches.

An encoder has some hundred kernels, and for short texts launching them one by one takes several
times as long as the GPU needs for them. A batch is padded to the next shape that has a graph; one
with more tokens than any of them keeps the GPU busy by itself, and runs without.
"""

from __future__ import annotations

import inspect
import logging
from bisect import bisect_left
from typing import Any

import numpy as np
import torch
from torch import Tensor

from byoc.cuda_graphs import recover
from byoc.serving.batching import Row

ROWS = (1, 2, 4, 8, 16, 32, 64)
WIDTHS = (16, 32, 48, 64, 96, 128)
MOST_TOKENS = 4096
"""Of a batch with a graph: with more of them the kernels take longer than their launches."""
MULTIPLE = 8
"""Of the width of a batch without a graph: tensor cores want it."""

_log = logging.getLogger(__name__)


def shapes(most: int) -> list[tuple[int, int]]:
    """(rows, tokens of each) that have a graph, for a model that takes ``most`` tokens; the
    largest first, so that the smaller ones fit into its memory."""
    widths = [width for width in WIDTHS if width <= most]
    found = [(rows, width) for rows in ROWS for width in widths if rows * width <= MOST_TOKENS]
    return sorted(found, key=lambda shape: shape[0] * shape[1], reverse=True)


class GpuModel:
    """A Hugging Face classifier in ``dtype``; its probabilities of rows sorted by length.

    For one thread at a time: graphs have their inputs in fixed places.
    """

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self._model = model.to(dtype).eval()
        self._takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self._padding = model.config.pad_token_id or 0
        self._most = int(getattr(model.config, "max_position_embeddings", None) or WIDTHS[-1])
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self.has_graphs = self._capture()

    def __call__(self, rows: list[Row]) -> list[list[float]]:
        """[rows, labels], float32."""
        shape = self._shape(len(rows), len(rows[-1]))
        if shape in self._graphs:
            return self._graphs[shape](rows)
        width = min(-(-len(rows[-1]) // MULTIPLE) * MULTIPLE, max(self._most, len(rows[-1])))
        host = torch.empty(self._numbers(len(rows), width), dtype=torch.int64, pin_memory=True)
        self._fill(host.numpy(), rows, len(rows), width)
        inputs = self._inputs(host.to(self._model.device, non_blocking=True), len(rows), width)
        found: list[list[float]] = self._probabilities(inputs).tolist()
        return found

    def _shape(self, rows: int, longest: int) -> tuple[int, int] | None:
        """The least shape with room for the rows."""
        row, width = bisect_left(ROWS, rows), bisect_left(WIDTHS, longest)
        return (ROWS[row], WIDTHS[width]) if row < len(ROWS) and width < len(WIDTHS) else None

    def _capture(self) -> bool:
        """False where the model cannot be captured: it looks at its numbers as it runs, say."""
        pool = torch.cuda.graph_pool_handle()
        try:
            for shape in shapes(self._most):
                self._graphs[shape] = _Graph(self, shape, pool)
        except RuntimeError as error:
            self._graphs.clear()
            recover()
            _log.warning("without CUDA graphs: %s", str(error).splitlines()[0])
        return bool(self._graphs)

    # -- A batch as one row of numbers: the ids, the lengths, the types; so it is one copy.

    def _numbers(self, rows: int, width: int) -> int:
        return rows * (width * (2 if self._takes_types else 1) + 1)

    def _fill(self, numbers: Any, rows: list[Row], count: int, width: int) -> None:
        """Writes the rows into ``numbers``; there may be fewer of them than ``count``."""
        ids = numbers[: count * width].reshape(count, width)
        lengths = numbers[count * width : count * (width + 1)]
        types = numbers[count * (width + 1) :].reshape(-1, width)
        ids.fill(self._padding)
        types.fill(0)
        lengths.fill(1)  # where there is no row: none at all would be computed to nan
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row.ids
            lengths[place] = len(row)
            if self._takes_types:
                types[place, : len(row)] = row.types

    def _inputs(self, numbers: Tensor, count: int, width: int) -> dict[str, Tensor]:
        lengths = numbers[count * width : count * (width + 1), None]
        found = {
            "input_ids": numbers[: count * width].view(count, width),
            "attention_mask": (torch.arange(width, device=numbers.device) < lengths).long(),
        }
        if self._takes_types:
            found["token_type_ids"] = numbers[count * (width + 1) :].view(count, width)
        return found

    @torch.inference_mode()
    def _probabilities(self, inputs: dict[str, Tensor]) -> Tensor:
        return torch.softmax(self._model(**inputs).logits.float(), dim=-1)


class _Graph:
    """The whole computation of batches of one shape, from their numbers to the probabilities."""

    def __init__(self, model: GpuModel, shape: tuple[int, int], pool: Any) -> None:
        self._model, self._shape = model, shape
        count = model._numbers(*shape)
        self._host = torch.zeros(count, dtype=torch.int64, pin_memory=True)
        self._numbers: np.ndarray[Any, Any] = self._host.numpy()
        model._fill(self._numbers, [], *shape)
        self._device = self._host.to(model._model.device)
        # What libraries set up at the first use of a shape cannot be captured.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._output = self._compute()
        self._found = torch.empty(self._output.shape, pin_memory=True)

    def _compute(self) -> Tensor:
        return self._model._probabilities(self._model._inputs(self._device, *self._shape))

    @torch.inference_mode()
    def __call__(self, rows: list[Row]) -> list[list[float]]:
        self._model._fill(self._numbers, rows, *self._shape)
        self._device.copy_(self._host, non_blocking=True)
        self._graph.replay()
        self._found.copy_(self._output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        found: list[list[float]] = self._found[: len(rows)].tolist()
        return found
