"""Linear layers over packed tokens, in the precisions that a CPU is good at.

Weights are laid out once as the kernels read them. torch's own layer does that anew at each call:
for one sentence it takes as long as the product itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

Linear = Callable[..., Tensor]
"""``linear(x, residual=None)``: x [tokens, in] to [tokens, out], plus the residual; of x's type."""

warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)  # of a later torch

LEAST = 1e-12
"""In place of a row's largest value where all are zero."""
CPUINFO = Path("/proc/cpuinfo")
UNEVEN = 4.0
"""Largest over mean size of a layer's inputs: below it there is nothing to even out."""
SHARE = 0.05
"""Of the mean: no channel counts as smaller, as it may have been silent by chance."""
FUSED = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}
"""Activation functions that the kernels apply on the way out, by name and algorithm."""
_TYPICAL_TOKENS = 16
"""The layout of the weights is chosen for so many; it serves any number."""


class FloatLinear:
    """f(x W + b), with weights of the given type, which x has too; without f by default."""

    def __init__(
        self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str | None = None
    ) -> None:
        self._weight, self._bias = weight.to(dtype), bias.to(dtype)
        self._fused = FUSED.get(activation or "", ("none", ""))
        self._has_kernels = _has_kernels(dtype)
        if self._has_kernels:
            ordered = torch.ops.mkldnn._reorder_linear_weight(self._weight, _TYPICAL_TOKENS)
            self._weight = ordered
        is_fused = activation is None or (self._has_kernels and activation in FUSED)
        self._then = None if is_fused else function_of(activation or "")

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if not self._has_kernels:
            y = torch.nn.functional.linear(x, self._weight, self._bias)
            y = y if residual is None else y.add_(residual)
        elif residual is None:
            product, (name, algorithm) = torch.ops.mkldnn._linear_pointwise.default, self._fused
            y = product(x, self._weight, self._bias, name, [], algorithm)
        else:
            product = torch.ops.mkldnn._linear_pointwise.binary
            y = product(x, residual, self._weight, self._bias, "add")
        return y if self._then is None else self._then(y)


def function_of(activation: str) -> Callable[[Tensor], Tensor]:
    """Raises ``KeyError``."""
    from transformers.activations import ACT2FN

    found: Callable[[Tensor], Tensor] = ACT2FN[activation]
    return found


def _has_kernels(dtype: torch.dtype) -> bool:
    """Does torch's build have oneDNN's for this type and CPU?"""
    return torch._C._has_mkldnn and (
        dtype == torch.float32
        or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class WatchedLinear(FloatLinear):
    """In float32; ``reach`` [in] is the largest size of each of its inputs so far."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None = None) -> None:
        super().__init__(weight, bias, torch.float32, activation)
        self.reach = torch.zeros(weight.shape[1])

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        self.reach = torch.maximum(self.reach, x.abs().amax(0))
        return super().__call__(x, residual)


class Int8Linear:
    """f(x W + b) on 8-bit integers: weights scaled by output channel, x by token as it comes.

    A token's scale depends on that token alone, so that no input's score depends on its company
    in a batch. ``lowest``: no value of x lies below it (as after GELU); then all 256 steps
    serve the range above it. Without it the steps lie on both sides of zero.

    ``reach`` [in]: how large each input gets. A few of an encoder's are ten times as large as the
    rest and would take all steps for themselves, so part of their size goes to their weights (Xiao
    et al., "SmoothQuant", 2023, at its middle strength).
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        lowest: float | None = None,
        reach: Tensor | None = None,
        activation: str | None = None,
    ) -> None:
        self._then = None if activation is None else function_of(activation)
        self.even, self.width = torch.ones(weight.shape[1]), weight.shape[1]
        if reach is not None and lowest is not None:
            reach = reach - lowest
        if reach is not None and reach.max() > UNEVEN * reach.mean():
            size = (_raised(reach) / _raised(weight.abs().amax(0))).sqrt()
            self.even = size.mean() / size
            weight = weight / self.even
        scale = weight.abs().amax(1).clamp_(min=LEAST) / 127
        steps = (weight / scale[:, None]).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(steps, None)
        self._scale = scale.contiguous()
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)
        self.lowest = lowest
        self.bias = bias.float().clone()
        if lowest is not None:  # x is shifted up by it, and what that adds is taken back here
            self.bias += lowest * ((steps.float() * self.even).sum(1) * scale)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if self.lowest is None:
            zero, most = 128, 127
            x = x * self.even
            top = x.abs().amax(1, keepdim=True).clamp_(min=LEAST)
        else:
            zero, most = 0, 255
            x = (x - self.lowest) * self.even
            top = x.amax(1, keepdim=True).clamp_(min=LEAST)
        # The one conversion to bytes that torch has vectorized: four times as fast as `to`.
        steps = torch.quantize_per_tensor(x * (most / top), 1.0, zero, torch.quint8)
        y = self.product(steps.view(torch.uint8))
        base = self.bias if residual is None else residual + self.bias
        y = torch.addcmul(base, y, top, value=1 / most)
        return y if self._then is None else self._then(y)

    def product(self, steps: Tensor) -> Tensor:
        """(steps - zero) W, steps [tokens, in] of uint8 to [tokens, out] of float32."""
        zero = 128 if self.lowest is None else 0
        found: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            *(steps, 1.0, zero, self._weight, self._scale, self._zeros),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        return found


def _raised(sizes: Tensor) -> Tensor:
    return sizes.clamp(min=max(float(sizes.mean()) * SHARE, LEAST))


def has_int8(cpuinfo: Path = CPUINFO) -> bool:
    """Does this CPU multiply bytes in one instruction (VNNI, AMX)?

    Without it the products saturate at 16 bits, and answers would be wrong, not only slow.
    """
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & _flags(cpuinfo)) and hasattr(
        torch.ops.onednn, "qlinear_pointwise"
    )


def has_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Does this CPU multiply matrices of bfloat16 in one instruction (AMX)?

    There nothing is faster: turning float32 into bytes takes longer than bytes save.
    """
    return "amx_bf16" in _flags(cpuinfo)


def _flags(cpuinfo: Path) -> set[str]:
    try:
        found = cpuinfo.read_text()
    except OSError:
        return set()
    line = next((line for line in found.splitlines() if line.startswith("flags")), "")
    return set(line.split())
