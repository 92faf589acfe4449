"""How a loaded model is computed: the fastest way that this machine has and that agrees.

On a CPU an encoder of a known family is packed (``byoc.serving.packed``), in bf16 where the CPU has
AMX, on 8-bit integers where it multiplies those. Any other model runs as Hugging Face built it,
padded to the longest. On a GPU its computation is captured as CUDA graphs (``byoc.serving.gpu``).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from byoc.serving import fused
from byoc.serving.batching import Compute, Row
from byoc.serving.fused import FusedEncoder
from byoc.serving.linears import (
    FloatLinear,
    Int8Linear,
    Linear,
    WatchedLinear,
    has_bf16,
    has_int8,
)
from byoc.serving.packed import NotPackable, PackedEncoder, pack

Encoder = PackedEncoder | FusedEncoder
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LEAST = 4_000_000
"""Weights of an encoder: a smaller one is no faster in bf16 or on integers, and stays exact."""
_WATCHED = [16] * 32
"""Lengths of the sequences of arbitrary tokens that show how large an encoder's values get."""
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "int8": 0.1}
"""How far a probability may lie from the one of the model as it was built."""

_log = logging.getLogger(__name__)


class WrongPrecision(ValueError):  # noqa: N818
    """BYOC_PRECISION asks for what this machine or this model cannot do."""


class Engine(NamedTuple):
    compute: Compute
    told: str
    """In what precision and form it computes, for the log."""


def engine_of(model: Any, precision: str = "auto") -> Engine:
    """The model's scores for rows, by the precision asked for.

    Raises ``WrongPrecision``. Takes the model's weights apart: it must not be used afterwards.
    """
    if model.device.type != "cpu":
        return _on_gpu(model, _gpu_type(precision))
    if precision == "fp16":
        raise WrongPrecision("BYOC_PRECISION=fp16 is for GPUs: give auto, fp32, bf16 or int8")
    if precision == "int8" and not has_int8():
        raise WrongPrecision("BYOC_PRECISION=int8: this CPU has no VNNI; give auto, fp32 or bf16")
    if precision == "auto":
        for choice in _choices(model):
            packed = _packed(model, choice)
            if packed is not None:
                return packed
        return _whole(model, torch.float32)
    packed = _packed(model, precision)
    if packed is None and precision == "int8":
        raise WrongPrecision(f"BYOC_PRECISION=int8: not with {type(model).__name__}; give auto")
    return packed or _whole(model, TYPES[precision])


def _choices(model: Any) -> list[str]:
    """What ``auto`` tries, the fastest first.

    Without compiled kernels turning values into bytes takes longer than bytes save over bf16.
    """
    fast = []
    if _size(model) >= LEAST:
        has_kernels = fused.library() is not None
        if has_int8() and (has_kernels or not has_bf16()):
            fast = ["int8"]
        elif has_bf16():
            fast = ["bf16"]
    return [*fast, "fp32"]


def _size(model: Any) -> int:
    """Weights in the linear layers of the encoder."""
    modules = (it for it in model.base_model.modules() if isinstance(it, torch.nn.Linear))
    return sum(module.weight.numel() for module in modules)


def _packed(model: Any, precision: str) -> Engine | None:
    """The packed form; None where there is none, or where it does not agree with the model."""

    reaches: Iterator[Tensor] = iter(())

    def linear(
        weight: Tensor, bias: Tensor, lowest: float | None, activation: str | None
    ) -> Linear:
        if precision == "int8":
            return Int8Linear(weight, bias, lowest, next(reaches), activation)
        return FloatLinear(weight, bias, TYPES[precision], activation)

    try:
        if precision == "int8":
            reaches = iter(_reaches(model))
        packed = pack(model, linear, TYPES.get(precision, torch.float32))
    except NotPackable as reason:
        _log.info("computed as it was built: %s", reason)
        return None
    encoder, form = _with_kernels(packed) if precision == "int8" else (packed, "packed")
    distance = _distance(model, encoder)
    if not distance <= TOLERANCE[precision]:
        _log.warning("%s is %.3f off the model as it was built: not used", precision, distance)
        return None
    _drop_weights(model)

    def compute(rows: list[Row], threads: int) -> list[list[float]]:
        _use(threads)
        logits = encoder.logits([row.ids for row in rows], [row.types for row in rows])
        return _probabilities(logits)

    return Engine(compute, f"{precision}, {form}")


def _with_kernels(encoder: PackedEncoder) -> tuple[Encoder, str]:
    """The same with our compiled kernels, where it can be, and its form's name."""
    kernels = fused.library()
    if kernels is None:
        return encoder, "packed"
    try:
        return fused.fused(encoder, kernels), "packed, fused"
    except NotPackable as reason:
        _log.info("computed without compiled kernels: %s", reason)
        return encoder, "packed"


def _reaches(model: Any) -> list[Tensor]:
    """How large each input of each linear layer gets, in the order in which they are packed.

    Arbitrary tokens show it: the large ones are the encoder's own, whatever it reads.
    """
    watched: list[WatchedLinear] = []

    def linear(
        weight: Tensor, bias: Tensor, _lowest: float | None, activation: str | None
    ) -> Linear:
        watched.append(WatchedLinear(weight, bias, activation))
        return watched[-1]

    encoder = pack(model, linear)
    ids = _arbitrary(model, _WATCHED)
    if ids:
        encoder.logits(ids, [[0] * len(row) for row in ids])
    return [layer.reach for layer in watched]


def _distance(model: Any, encoder: Encoder) -> float:
    """The largest difference of a probability over a few sequences of arbitrary tokens."""
    ids = _arbitrary(model, [3, 11, 11, 24])
    found = encoder.logits(ids, [[0] * len(row) for row in ids]).softmax(-1)
    with torch.inference_mode():
        expected = [model(torch.tensor([row])).logits.float().softmax(-1)[0] for row in ids]
    return float((found - torch.stack(expected)).abs().max())


def _arbitrary(model: Any, lengths: Sequence[int]) -> list[list[int]]:
    """Sequences of these lengths, but for those that the model does not take; always the same."""
    generator = torch.Generator().manual_seed(0)
    tokens = model.get_input_embeddings().weight.shape[0]
    lengths = [length for length in lengths if length < model.config.max_position_embeddings]
    ids = [torch.randint(tokens, (length,), generator=generator).tolist() for length in lengths]
    # RoBERTa takes the padding token's number for padding, wherever it stands.
    padding = model.config.pad_token_id
    return [[token if token != padding else (token + 1) % tokens for token in row] for row in ids]


def _drop_weights(model: Any) -> None:
    """Frees the encoder's own weights: the packed form has them in its own way."""
    for name in ("encoder", "transformer"):
        for module in getattr(model.base_model, name, torch.nn.Module()).modules():
            if isinstance(module, torch.nn.Linear):
                module.weight = module.bias = None  # type: ignore[assignment]


def _whole(model: Any, dtype: torch.dtype) -> Engine:
    """The model as it was built, on batches padded to the longest row."""
    model = model.to(dtype).eval()
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    padding = model.config.pad_token_id or 0

    def matrix(rows: list[Any], fill: int, width: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])

    def compute(rows: list[Row], threads: int) -> list[list[float]]:
        _use(threads)
        width = len(rows[-1])
        inputs = {
            "input_ids": matrix([row.ids for row in rows], padding, width),
            "attention_mask": matrix([[1] * len(row) for row in rows], 0, width),
        }
        if takes_types:
            inputs["token_type_ids"] = matrix([row.types for row in rows], 0, width)
        with torch.inference_mode():
            return _probabilities(model(**inputs).logits)

    return Engine(compute, f"{_name(dtype)}, padded")


def _on_gpu(model: Any, dtype: torch.dtype) -> Engine:
    from byoc.serving.gpu import GpuModel

    found = GpuModel(model, dtype)
    form = "CUDA graphs" if found.has_graphs else "padded"
    return Engine(lambda rows, _threads: found(rows), f"{_name(dtype)}, {form}, on {model.device}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _gpu_type(precision: str) -> torch.dtype:
    """fp16 by default: every GPU that SageMaker has is fast at it, and it is finer than bf16."""
    if precision == "int8":
        raise WrongPrecision("BYOC_PRECISION=int8 is for CPUs: give auto, fp32, bf16 or fp16")
    return TYPES["fp16" if precision == "auto" else precision]


def _probabilities(logits: Tensor) -> list[list[float]]:
    found: list[list[float]] = torch.softmax(logits.float(), dim=-1).tolist()
    return found


def _use(threads: int) -> None:
    """How many threads this thread's operators use."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
