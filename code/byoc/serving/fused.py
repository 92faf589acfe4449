"""A packed encoder on 8-bit integers, with all that lies between its products in kernels of ours.

The products are oneDNN's. Between two of them torch needs some ten operators: to scale, to add, to
normalize, to find the largest value, to turn it all into bytes. For a sentence or two that takes
longer than the products, which read the weights once. ``kernels.c`` has each such run in one pass.

It is compiled where byoc is installed with a C compiler at hand, as in the serving image. Without
it ``PackedEncoder`` computes the same, more slowly.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from byoc.serving.linears import Int8Linear
from byoc.serving.packed import Norm, NotPackable, PackedEncoder, Rows

LIBRARY = "byoc.serving._kernels"
"""The compiled library: no module, but built and found like one."""
KINDS = {"gelu": 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "relu": 2}
"""The activation functions that it knows, by its numbers."""

_log = logging.getLogger(__name__)


@cache
def library() -> Any:
    """The kernels; None where they were not compiled, or do not run here."""
    found = importlib.util.find_spec(LIBRARY)
    if found is None or found.origin is None:
        _log.info("no compiled kernels here: slower ones serve (a C compiler at installation)")
        return None
    try:
        return ctypes.CDLL(found.origin)
    except OSError as error:
        _log.warning("the compiled kernels cannot be used, slower ones serve: %s", error)
        return None


class Steps(NamedTuple):
    """A matrix in bytes: of row t, (bytes - zero) * scale[t]."""

    bytes: Tensor
    scale: Tensor

    @classmethod
    def empty(cls, tokens: int, width: int) -> Steps:
        return cls(torch.empty(tokens, width, dtype=torch.uint8), torch.empty(tokens))


def fused(encoder: PackedEncoder, kernels: Any) -> FusedEncoder:
    """Of an encoder whose linear layers are ``Int8Linear``. Raises ``NotPackable``."""
    width = encoder.layers[0].output.width  # type: ignore[attr-defined]
    size = width // encoder.heads
    if encoder.activation not in KINDS:
        raise NotPackable(f"no kernel for {encoder.activation}")
    lanes, widest, longest = (
        ctypes.c_int64.in_dll(kernels, f"byoc_{name}").value
        for name in ("lanes", "widest", "longest")
    )
    if size % lanes or size > widest:
        raise NotPackable(f"no kernel for heads of {size}")
    return FusedEncoder(encoder, kernels, KINDS[encoder.activation], size, longest)


@dataclass(frozen=True)
class FusedEncoder:
    """Computes what ``inner`` does."""

    inner: PackedEncoder
    kernels: Any
    kind: int
    """Of activation function."""
    size: int
    """A head's width."""
    longest: int
    """Tokens of a sequence up to which its attention is ours."""

    @torch.inference_mode()
    def logits(self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> Tensor:
        """[sequences, labels], for sequences sorted by length; float32."""
        inner: Any = self.inner
        rows = Rows.of(ids, types, inner.offset)
        x = inner.embed(rows).contiguous()
        steps = self._steps(x, inner.layers[0].qkv)
        for layer, following in zip(inner.layers, [*inner.layers[1:], None], strict=True):
            qkv = self._of_product(layer.qkv.product(steps.bytes), steps.scale, layer.qkv)
            context = self._attend(qkv, rows, firsts_only=following is None)
            if following is None:
                x = x[rows.firsts]
            steps = self._steps(context, layer.output)
            product = layer.output.product(steps.bytes)
            x, steps = self._norm(product, steps, layer.output, x, layer.first_norm, layer.up)
            steps = self._activate(layer.up.product(steps.bytes), steps, layer.up, layer.down)
            product = layer.down.product(steps.bytes)
            after = following and following.qkv
            x, steps = self._norm(product, steps, layer.down, x, layer.second_norm, after)
        return inner.head(x[: len(ids)].unsqueeze(1))  # type: ignore[no-any-return]

    def _steps(self, x: Tensor, then: Int8Linear) -> Steps:
        steps = Steps.empty(*x.shape)
        self.kernels.byoc_to_steps(
            *_at(x, then.even), *map(_long, x.shape), *_at(steps.bytes, steps.scale)
        )
        return steps

    def _of_product(self, y: Tensor, scale: Tensor, linear: Int8Linear) -> Tensor:
        self.kernels.byoc_of_product(*_at(y, scale, linear.bias), *map(_long, y.shape))
        return y

    def _norm(
        self,
        y: Tensor,
        steps: Steps,
        linear: Int8Linear,
        residual: Tensor,
        norm: Norm,
        then: Int8Linear | None,
    ) -> tuple[Tensor, Steps]:
        out, found = torch.empty_like(y), Steps.empty(*y.shape)
        self.kernels.byoc_norm(
            *_at(y, steps.scale, linear.bias, residual, norm.weight, norm.bias),
            ctypes.c_float(norm.epsilon),
            *map(_long, y.shape),
            *_at(out, None if then is None else then.even, *found),
        )
        return out, found

    def _activate(self, y: Tensor, steps: Steps, linear: Int8Linear, then: Int8Linear) -> Steps:
        found = Steps.empty(*y.shape)
        self.kernels.byoc_activate(
            *_at(y, steps.scale, linear.bias),
            self.kind,
            ctypes.c_float(then.lowest or 0.0),
            *_at(then.even),
            *map(_long, y.shape),
            *_at(*found),
        )
        return found

    def _attend(self, qkv: Tensor, rows: Rows, firsts_only: bool) -> Tensor:
        """The context of each token, or of the first ones only; of what fills up, any."""
        heads, width = self.inner.heads, qkv.shape[1] // 3
        count = len(rows.firsts) if firsts_only else len(rows.ids)
        out = torch.zeros(count, width)
        short = [group for group in rows.groups if group[2] <= self.longest]
        starts = [
            start + place * length for start, count, length in short for place in range(count)
        ]
        if short:
            start, count, length = short[-1]
            ends = torch.tensor([*starts, start + count * length])
            self.kernels.byoc_attend(
                *_at(qkv, ends),
                *map(_long, (len(starts), heads, self.size)),
                ctypes.c_float(self.inner.scaling),
                int(firsts_only),
                *_at(out),
            )
        number = len(starts)
        for group in rows.groups[len(short) :]:
            found = self.inner.attend_group(qkv, group, firsts_only)
            first = number if firsts_only else group[0]
            out[first : first + len(found)] = found
            number += group[1]
        return out


def _at(*tensors: Tensor | None) -> list[Any]:
    return [ctypes.c_void_p(None if it is None else it.data_ptr()) for it in tensors]


_long = ctypes.c_int64
