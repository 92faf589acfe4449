"""Encoders of BERT's family over packed tokens: no padding is ever computed.

A batch is one long row of tokens. Linear layers, which are nearly all of the work, do not see
where one sequence ends; attention runs for all sequences of the same length at once, so that it
needs neither padding nor a mask. The last layer computes first tokens only: no head reads others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from byoc.serving.linears import Linear

LinearOf = Callable[[Tensor, Tensor, float | None, str | None], Linear]
"""Makes a layer from weight, bias, the lowest value that its input can have, and the name of the
activation function that follows."""

LOWEST = {"gelu": -0.17, "gelu_new": -0.1701, "gelu_pytorch_tanh": -0.1701, "relu": 0.0}
"""The least value of activation functions, rounded down."""


class NotPackable(Exception):  # noqa: N818 - an answer, not a fault
    """This model is not of the form that is known here; the message says in what."""


@dataclass(frozen=True)
class Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    @classmethod
    def of(cls, module: Any) -> Norm:
        return cls(module.weight.detach(), module.bias.detach(), module.eps)

    def __call__(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    qkv: Linear
    output: Linear
    first_norm: Norm
    up: Linear
    down: Linear
    second_norm: Norm


@dataclass(frozen=True)
class Rows:
    """Sequences packed one behind the other, all of one length side by side.

    Behind them come a few tokens that nothing reads, up to a number that is often met: for each
    number of tokens that is new to it a kernel is made first, which takes longer than they do.
    """

    tokens: int
    """Without those."""
    ids: Tensor
    types: Tensor
    positions: Tensor
    firsts: Tensor
    """Where each sequence begins; behind them, likewise, some that nothing reads."""
    groups: list[tuple[int, int, int]]
    """Start, number of sequences and their length."""

    @classmethod
    def of(
        cls, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], offset: int = 0
    ) -> Rows:
        """Of sequences sorted by length. ``offset``: the first position's number."""
        lengths = [len(row) for row in ids]
        groups: list[tuple[int, int, int]] = []
        starts: list[int] = []
        start = 0
        for length, same in groupby(lengths):
            count = len(list(same))
            groups.append((start, count, length))
            starts.extend(range(start, start + count * length, length))
            start += count * length
        return cls(
            start,
            _filled([token for row in ids for token in row]),
            _filled([number for row in types for number in row]),
            _filled([offset + place for length in lengths for place in range(length)], offset),
            _filled(starts),
            groups,
        )


def often_met(count: int) -> int:
    """The number up to which so many tokens are filled up."""
    step = 16 if count <= 256 else 32 if count <= 512 else 64
    return -(-count // step) * step


def _filled(values: list[int], filler: int = 0) -> Tensor:
    return torch.tensor(values + [filler] * (often_met(len(values)) - len(values)))


@dataclass(frozen=True)
class PackedEncoder:
    embed: Callable[[Rows], Tensor]
    layers: list[Layer]
    dtype: torch.dtype
    """Of what the layers take and give."""
    heads: int
    scaling: float
    activation: str
    """Its name."""
    head: Callable[[Tensor], Tensor]
    """Hidden states of first tokens [rows, 1, width] to logits [rows, labels]."""
    offset: int

    @torch.inference_mode()
    def logits(self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> Tensor:
        """[sequences, labels], for sequences sorted by length; float32."""
        rows = Rows.of(ids, types, self.offset)
        x = self.embed(rows).to(self.dtype)
        for number, layer in enumerate(self.layers, 1):
            x = self._layer(layer, x, rows, number == len(self.layers))
        return self.head(x[: len(ids)].float().unsqueeze(1))

    def _layer(self, layer: Layer, x: Tensor, rows: Rows, is_last: bool) -> Tensor:
        context = self._attend(layer.qkv(x), rows, is_last)
        if is_last:
            x = x[rows.firsts]
        x = layer.first_norm(layer.output(context, x))
        return layer.second_norm(layer.down(layer.up(x), x))

    def _attend(self, qkv: Tensor, rows: Rows, firsts_only: bool) -> Tensor:
        width = qkv.shape[1] // 3
        parts = [self.attend_group(qkv, group, firsts_only) for group in rows.groups]
        rest = len(rows.firsts) - sum(count for _, count, _ in rows.groups)
        if not firsts_only:
            rest = len(rows.ids) - rows.tokens
        if rest:
            parts.append(qkv.new_zeros(rest, width))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def attend_group(self, qkv: Tensor, group: tuple[int, int, int], firsts_only: bool) -> Tensor:
        """The context of one of ``Rows.groups``: [tokens, width], or [sequences, width]."""
        start, count, length = group
        part = qkv[start : start + count * length].view(count, length, 3, self.heads, -1)
        query, key, value = part.permute(2, 0, 3, 1, 4)
        if firsts_only:
            query = query[:, :, :1]
        found = scaled_dot_product_attention(query, key, value, scale=self.scaling)
        return found.transpose(1, 2).reshape(-1, qkv.shape[1] // 3)


def pack(model: Any, linear: LinearOf, dtype: torch.dtype = torch.float32) -> PackedEncoder:
    """The packed form of a Hugging Face sequence classifier; its own embeddings and head serve.

    ``dtype``: what the layers that ``linear`` makes take and give.

    Raises ``NotPackable``.
    """
    find = _FAMILIES.get(type(model).__name__)
    if find is None:
        raise NotPackable(f"{type(model).__name__} is not of a known family")
    if model.config.to_dict().get("position_embedding_type", "absolute") != "absolute":
        raise NotPackable("its positions are not absolute")
    return find(model, linear, dtype)


def _bert(model: Any, linear: LinearOf, dtype: torch.dtype) -> PackedEncoder:
    """BERT, RoBERTa, ELECTRA and those that share their modules."""
    config, base = model.config, model.base_model
    if config.is_decoder or config.add_cross_attention:
        raise NotPackable("it is a decoder")
    name = config.hidden_act
    project = getattr(base, "embeddings_project", lambda x: x)

    def embed(rows: Rows) -> Tensor:
        found = base.embeddings(
            rows.ids[None], token_type_ids=rows.types[None], position_ids=rows.positions[None]
        )
        return project(found)[0]  # type: ignore[no-any-return]

    def layer_of(source: Any) -> Layer:
        attention, output = source.attention.self, source.attention.output
        return Layer(
            _joined([attention.query, attention.key, attention.value], linear),
            _linear(output.dense, linear),
            Norm.of(output.LayerNorm),
            _linear(source.intermediate.dense, linear, activation=name),
            _linear(source.output.dense, linear, LOWEST.get(name)),
            Norm.of(source.output.LayerNorm),
        )

    pooler = getattr(base, "pooler", None)
    padding = getattr(base.embeddings, "padding_idx", None)
    return PackedEncoder(
        embed,
        [layer_of(source) for source in base.encoder.layer],
        dtype,
        config.num_attention_heads,
        base.encoder.layer[0].attention.self.scaling,
        name,
        (lambda x: model.classifier(pooler(x))) if pooler else model.classifier,
        # RoBERTa counts from the number after the padding token's.
        0 if padding is None else padding + 1,
    )


def _distilbert(model: Any, linear: LinearOf, dtype: torch.dtype) -> PackedEncoder:
    base, name = model.distilbert, model.config.activation

    def layer_of(source: Any) -> Layer:
        attention = source.attention
        return Layer(
            _joined([attention.q_lin, attention.k_lin, attention.v_lin], linear),
            _linear(attention.out_lin, linear),
            Norm.of(source.sa_layer_norm),
            _linear(source.ffn.lin1, linear, activation=name),
            _linear(source.ffn.lin2, linear, LOWEST.get(name)),
            Norm.of(source.output_layer_norm),
        )

    return PackedEncoder(
        lambda rows: base.embeddings(rows.ids[None], position_ids=rows.positions[None])[0],
        [layer_of(source) for source in base.transformer.layer],
        dtype,
        model.config.n_heads,
        base.transformer.layer[0].attention.scaling,
        name,
        lambda x: model.classifier(model.pre_classifier(x[:, 0]).relu()),
        0,
    )


_FAMILIES: dict[str, Callable[[Any, LinearOf, torch.dtype], PackedEncoder]] = {
    "DistilBertForSequenceClassification": _distilbert,
    "BertForSequenceClassification": _bert,
    "RobertaForSequenceClassification": _bert,
    "XLMRobertaForSequenceClassification": _bert,
    "CamembertForSequenceClassification": _bert,
    "ElectraForSequenceClassification": _bert,
}


def _linear(
    module: Any, linear: LinearOf, lowest: float | None = None, activation: str | None = None
) -> Linear:
    return linear(module.weight.detach(), module.bias.detach(), lowest, activation)


def _joined(modules: Sequence[Any], linear: LinearOf) -> Linear:
    weight = torch.cat([module.weight.detach() for module in modules])
    return linear(weight, torch.cat([module.bias.detach() for module in modules]), None, None)
