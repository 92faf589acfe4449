"""Which arithmetic a job trains in, in Lightning's names; ``auto`` by what the device can do."""

from __future__ import annotations

import time
from typing import Any

import torch

from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault

FULL, BF16, FP16 = "32-true", "bf16-mixed", "16-mixed"

_NAMES = {"32": FULL, "bf16": BF16, "16": FP16}

MARGIN = 1.3
"""How much faster a CPU's bf16 must be in the linear layers alone, for the whole step to gain."""

_NARROW = 256
"""Encoders less wide spend their steps between the matrix products: bf16 gains them nothing."""

_SECONDS = 0.2
_LENGTH = 12
_MOST_TOKENS = 512


def choose(config: TrainingConfig, model: Any) -> str:
    """``32-true``, ``bf16-mixed`` or ``16-mixed``.

    ``auto`` may measure, so another machine, or a busy one, may choose otherwise: a job that goes
    on from a checkpoint keeps the choice of its first run. Raises ``TrainingFault`` for fp16
    without a GPU.
    """
    gpu = torch.cuda.is_available()
    if config.precision != "auto":
        if config.precision == "16" and not gpu:
            raise TrainingFault(
                "precision=16 needs a GPU, and there is none: take bf16, 32 or auto on a CPU"
            )
        return _NAMES[config.precision]
    if gpu:
        # torch.cuda.is_bf16_supported() is true of a T4 as well, which only emulates it.
        return BF16 if torch.cuda.get_device_capability()[0] >= 8 else FP16
    width, inner = _shape(model)
    if width < _NARROW or not has_bf16():
        return FULL
    rows = config.batch_size // config.gradient_accumulation_steps
    gain = bf16_gain(width, inner, min(_MOST_TOKENS, rows * _LENGTH))
    found = BF16 if gain >= MARGIN else FULL
    print(f"precision: {found}; bf16 is {gain:.2f} times as fast as fp32 here", flush=True)
    return found


def autocast(name: str) -> torch.autocast:
    """The arithmetic called ``name``, for a forward pass outside of Lightning."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if name == FP16 else torch.bfloat16
    return torch.autocast(device, dtype, enabled=name != FULL)


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware; without it they are converted."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def bf16_gain(width: int, inner: int, tokens: int) -> float:
    """How much faster a linear layer of [``width``, ``inner``] is trained in bf16 than in fp32.

    Forward and backward, the casts of the weights included. The two take turns, and the fastest of
    each counts, so that a busy machine disturbs both alike.
    """
    layer = torch.nn.Linear(width, inner)
    inputs = torch.full((tokens, width), 0.5, requires_grad=True)
    best = {False: float("inf"), True: float("inf")}
    _seconds(layer, inputs, bf16=False)
    _seconds(layer, inputs, bf16=True)
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        for bf16 in (False, True):
            best[bf16] = min(best[bf16], _seconds(layer, inputs, bf16=bf16))
    return best[False] / best[True]


def _seconds(layer: torch.nn.Linear, inputs: torch.Tensor, *, bf16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = layer(inputs)
    outputs.backward(outputs.detach())
    return time.perf_counter() - start


def _shape(model: Any) -> tuple[int, int]:
    """(width, inner width of the feed-forward layers) of an encoder."""
    config = model.config
    width = int(getattr(config, "hidden_size", 768))
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", None)
    return width, int(inner or 4 * width)
