"""Training steps with torch.compile; the compiler takes half a minute."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest


@pytest.mark.skipif(
    not any(os.access(f"/usr/bin/{name}", os.X_OK) for name in ("g++", "c++")),
    reason="torch.compile needs a C++ compiler, and there is none",
)
def test_compiled_steps_are_the_plain_ones() -> None:
    # In a process of its own: the compiler's set-up asserts that nobody imported distutils before.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(compare_compiled_steps).result(timeout=300)


def compare_compiled_steps() -> None:
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from byoc.training.config import TrainingConfig
    from byoc.training.model import Classifier

    shape = DistilBertConfig(vocab_size=50, n_layers=1, dim=16, hidden_dim=32, n_heads=2)
    batch = {
        "input_ids": torch.arange(1, 25).reshape(2, 12),
        "attention_mask": torch.tensor([[1] * 12, [1] * 7 + [0] * 5]),
        "labels": torch.tensor([0, 1]),
        "rows": 2,
    }
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = DistilBertForSequenceClassification(shape)
        config = TrainingConfig(dropout=0.0, compile=compiled)
        module = Classifier(model, config, total_steps=1, class_counts=(1, 1))
        module.train().training_step(batch, 0).backward()
        found.append({name: weight.grad for name, weight in module.model.named_parameters()})
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], rtol=0, atol=1e-5), name
