"""The last layer computes first tokens only, and nothing that is trained differs by it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from byoc.training.adapt import adapt
from byoc.training.config import TrainingConfig

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "num_labels": 3,
}
DISTILBERT = DistilBertConfig(
    vocab_size=50, n_layers=2, dim=16, hidden_dim=32, n_heads=2, num_labels=3
)
KNOWN = [
    DISTILBERT,
    BertConfig(**SHAPE),
    RobertaConfig(**SHAPE),
    XLMRobertaConfig(**SHAPE),
    CamembertConfig(**SHAPE),
    ElectraConfig(**SHAPE, embedding_size=8),
]


def stock(config: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(copy.deepcopy(config), **more).train()


def batch(*, padded: bool = True) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    lengths = torch.tensor([3, 9, 1, 6]) if padded else torch.full((4,), 9)
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(3, 50, (4, 9)) * mask + (1 - mask)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 1])}


def passes(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[Any, dict[str, Any]]:
    """Logits [rows, labels], and each weight's gradient."""
    output = model(**inputs)
    output.loss.backward()
    return output.logits, {name: w.grad for name, w in model.named_parameters()}


def last_layer(model: Any) -> Any:
    layers = [m for name, m in model.named_modules() if name.endswith(".layer.1")]
    return layers[0]


def widths(model: Any, inputs: dict[str, torch.Tensor]) -> list[int]:
    """Tokens of the last layer's outputs."""
    found: list[int] = []

    def note(module: Any, values: Any, output: Any) -> None:
        # DeBERTa's layers give their attention as well.
        found.append((output[0] if isinstance(output, tuple) else output).shape[1])

    last_layer(model).register_forward_hook(note)
    model(**inputs)
    return found


def same(model: Any, other: Any, inputs: dict[str, torch.Tensor]) -> None:
    (logits, gradients), (expected, wanted) = passes(model, inputs), passes(other, inputs)
    assert torch.allclose(logits, expected, rtol=0, atol=1e-6)
    assert list(gradients) == list(wanted)
    for name, gradient in wanted.items():
        if gradient is None:
            assert gradients[name] is None or not gradients[name].any(), name
        else:
            assert torch.allclose(gradients[name], gradient, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("config", KNOWN, ids=lambda config: config.model_type)
def test_logits_and_gradients_are_those_of_the_whole_layer(config: Any, padded: bool) -> None:
    asked = TrainingConfig(dropout=0.0)
    ours, whole = adapt(stock(config), asked), stock(config).eval()
    inputs = batch(padded=padded)
    same(ours, whole, inputs)
    assert widths(ours, inputs) == [1]


@pytest.mark.parametrize(
    "options", [{"gradient_checkpointing": True}, {"lora_rank": 2, "lora_alpha": 4.0}]
)
@pytest.mark.parametrize("config", KNOWN[:2], ids=lambda config: config.model_type)
def test_adapters_and_checkpointing_too(config: Any, options: dict[str, Any]) -> None:
    asked = TrainingConfig(dropout=0.0, **options)
    ours = adapt(stock(config), asked)
    # An eager attention is left alone: the same job, with its last layer whole.
    whole = adapt(stock(config, attn_implementation="eager"), asked)
    whole.load_state_dict(ours.state_dict())
    same(ours, whole, batch())
    assert widths(ours, batch()) == [1]
    assert widths(whole, batch()) == [9]


def test_dropout_still_drops_in_the_last_layer() -> None:
    ours = adapt(stock(DISTILBERT), TrainingConfig(dropout=0.0))
    last_layer(ours).attention.dropout.p = 0.5
    inputs = batch()
    assert not torch.equal(ours(**inputs).logits, ours(**inputs).logits)
    ours.eval()
    assert torch.equal(ours(**inputs).logits, ours(**inputs).logits)


@pytest.mark.parametrize(
    "config",
    [
        DebertaV2Config(**SHAPE),
        BertConfig(**SHAPE, is_decoder=True),
    ],
    ids=["deberta-v2", "decoder"],
)
def test_other_models_are_left_as_they_are(config: Any) -> None:
    ours = adapt(stock(config), TrainingConfig(dropout=0.0))
    assert widths(ours, batch()) == [9]
