"""The serving engine on a GPU, in each precision and shape, against fp32 on the CPU."""

from __future__ import annotations

import random
from typing import Any

import pytest

from byoc.serving.batching import Row


def rows(count: int, longest: int = 40) -> list[Row]:
    chosen = random.Random(count)
    found = []
    for _ in range(count):
        ids = [chosen.randrange(2, 100) for _ in range(chosen.randint(1, longest))]
        found.append(Row(ids, [0] * len(ids)))
    return sorted(found, key=len)


def encoder(kind: str = "distilbert") -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    sizes = (
        {"dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 128}
        if kind == "distilbert"
        else {
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 128,
        }
    )
    config = AutoConfig.for_model(kind, vocab_size=100, num_labels=3, **sizes)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(
    ("precision", "near"), [("auto", 0.02), ("fp32", 1e-3), ("bf16", 0.05), ("fp16", 0.02)]
)
def test_probabilities_are_those_of_the_cpu(precision: str, near: float) -> None:
    from byoc.serving.engine import engine_of

    batch = rows(24)
    expected = engine_of(encoder(), "fp32").compute(batch, 1)
    engine = engine_of(encoder().to("cuda"), precision)
    assert "CUDA graphs, on cuda" in engine.told
    found = engine.compute(batch, 1)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=near)


@pytest.mark.parametrize("kind", ["distilbert", "bert", "roberta"])
@pytest.mark.parametrize(
    ("count", "longest"),
    [(1, 3), (1, 16), (1, 17), (3, 40), (64, 40), (65, 9), (64, 128), (2, 300)],
)
def test_each_shape_gives_the_same_as_without_graphs(kind: str, count: int, longest: int) -> None:
    from byoc.serving.engine import engine_of

    batch = rows(count, longest)
    expected = engine_of(encoder(kind), "fp32").compute(batch, 1)
    engine = engine_of(encoder(kind).to("cuda"), "fp32")
    engine.compute(rows(50, 60), 1)  # nothing of one batch may be left in the next
    for _ in range(2):
        found = engine.compute(batch, 1)
        assert len(found) == count
        for mine, theirs in zip(found, expected, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)


def test_a_model_that_cannot_be_captured_is_computed_without_graphs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from byoc.serving.engine import engine_of

    expected = engine_of(encoder(), "fp32").compute(rows(5), 1)
    model = encoder().to("cuda")
    layer = model.distilbert.transformer.layer[0]
    forward = layer.forward

    def looks_at_numbers(states: Any, *words: Any, **named: Any) -> Any:
        assert states.abs().sum().item() >= 0
        return forward(states, *words, **named)

    layer.forward = looks_at_numbers
    engine = engine_of(model, "fp32")
    assert "padded, on cuda" in engine.told
    assert "without CUDA graphs" in caplog.text
    for mine, theirs in zip(engine.compute(rows(5), 1), expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-3)


def test_int8_is_refused() -> None:
    from byoc.serving.engine import WrongPrecision, engine_of

    with pytest.raises(WrongPrecision, match="is for CPUs"):
        engine_of(encoder().to("cuda"), "int8")
