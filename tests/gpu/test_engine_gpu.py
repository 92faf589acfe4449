"""The serving engine on a GPU, in each precision, against fp32 on the CPU."""

from __future__ import annotations

import random
from typing import Any

import pytest

from byoc.serving.batching import Row


def rows(count: int) -> list[Row]:
    chosen = random.Random(0)
    found = []
    for _ in range(count):
        ids = [chosen.randrange(2, 100) for _ in range(chosen.randint(1, 40))]
        found.append(Row(ids, [0] * len(ids)))
    return sorted(found, key=len)


def encoder() -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "distilbert", vocab_size=100, dim=64, n_layers=3, n_heads=4, hidden_dim=128, num_labels=3
    )
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(
    ("precision", "near"), [("auto", 0.02), ("fp32", 1e-3), ("bf16", 0.05), ("fp16", 0.02)]
)
def test_probabilities_are_those_of_the_cpu(precision: str, near: float) -> None:
    from byoc.serving.engine import engine_of

    batch = rows(24)
    expected = engine_of(encoder(), "fp32").compute(batch, 1)
    engine = engine_of(encoder().to("cuda"), precision)
    assert "cuda" in engine.told
    found = engine.compute(batch, 1)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=near)


def test_int8_is_refused() -> None:
    from byoc.serving.engine import WrongPrecision, engine_of

    with pytest.raises(WrongPrecision, match="is for CPUs"):
        engine_of(encoder().to("cuda"), "int8")
