"""The last layer computes first tokens only: the head of a classifier reads no others.

Of the last layer's work only keys and values need every token; queries, the output projection and
the feed-forward network of the other tokens feed nothing, and their gradients are zero. Leaving
them out changes neither logits nor gradients, and saves five sixths of one layer in two passes: a
seventh of DistilBERT's step. Weights, their names and what is saved stay as they are.
"""

from __future__ import annotations

import types
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_DISTILBERT = ("q_lin", "k_lin", "v_lin")
_BERT = ("query", "key", "value")
_PROJECTIONS = {
    "DistilBertForSequenceClassification": _DISTILBERT,
    "BertForSequenceClassification": _BERT,
    "RobertaForSequenceClassification": _BERT,
    "XLMRobertaForSequenceClassification": _BERT,
    "CamembertForSequenceClassification": _BERT,
    "ElectraForSequenceClassification": _BERT,
}
"""Of each class whose head reads the first token: its attention's queries, keys and values."""


def only_first_tokens(model: Any) -> bool:
    """Changes ``model``'s last layer in place, where it is of a known family; whether it did.

    The layer's output is then [rows, 1, width] instead of [rows, tokens, width]. Any other model,
    a decoder, and one with an attention other than torch's own is left as it is.
    """
    names = _PROJECTIONS.get(type(model).__name__)
    is_decoder = getattr(model.config, "is_decoder", False)
    if names is None or is_decoder or model.config._attn_implementation != "sdpa":
        return False
    if names == _DISTILBERT:
        layer = model.base_model.transformer.layer[-1]
        attention, reader = layer.attention, layer.sa_layer_norm
    else:
        layer = model.base_model.encoder.layer[-1]
        attention, reader = layer.attention.self, layer.attention.output
    attention.forward = types.MethodType(_attention(names), attention)
    reader.register_forward_pre_hook(_first)
    return True


def _attention(names: tuple[str, str, str]) -> Any:
    """The forward of an attention module whose projections have these names."""
    # DistilBERT's attention ends with its output projection, BERT's is followed by it. Told here:
    # in what torch.compile traces, a tuple is not identical with itself.
    projects = names == _DISTILBERT

    def forward(
        self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None]:
        first = hidden_states[:, :1]
        # By name, each time: adapters put modules of their own in their place.
        query, key, value = (
            getattr(self, name)(x).unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)
            for name, x in zip(names, (first, hidden_states, hidden_states), strict=True)
        )
        found = scaled_dot_product_attention(
            query,
            key,
            value,
            # [rows or 1, heads or 1, tokens, tokens]: what the first token may look at.
            None if attention_mask is None else attention_mask[:, :, :1],
            dropout_p=self.dropout.p if self.training else 0.0,
            scale=self.scaling,
        )
        context = found.transpose(1, 2).flatten(2)
        return (self.out_lin(context) if projects else context), None

    return forward


def _first(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ARG001
    """Where the layer adds its input, of every token, to the attention's, of the first ones."""
    return tuple(x[:, :1] for x in inputs)
