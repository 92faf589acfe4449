"""Which arithmetic a job trains in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from byoc.training import precision
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.precision import autocast, bf16_gain, choose

WIDE = SimpleNamespace(config=SimpleNamespace(hidden_size=256, intermediate_size=512))
NARROW = SimpleNamespace(config=SimpleNamespace(hidden_size=128, intermediate_size=256))
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.mark.parametrize(("given", "found"), [("32", "32-true"), ("bf16", "bf16-mixed")])
def test_what_is_asked_for_is_taken(given: str, found: str) -> None:
    assert choose(TrainingConfig(precision=given), WIDE) == found


@needs_no_gpu
def test_fp16_without_a_gpu_is_a_fault() -> None:
    with pytest.raises(TrainingFault, match="precision=16 needs a GPU"):
        choose(TrainingConfig(precision="16"), WIDE)


@needs_no_gpu
@pytest.mark.parametrize(
    ("model", "in_hardware", "gain", "found"),
    [
        (WIDE, True, 2.0, "bf16-mixed"),
        (WIDE, True, 1.1, "32-true"),
        (WIDE, False, 2.0, "32-true"),
        (NARROW, True, 2.0, "32-true"),
    ],
)
def test_auto_takes_bf16_where_the_processor_has_it_and_is_faster(
    monkeypatch: pytest.MonkeyPatch, model: Any, in_hardware: bool, gain: float, found: str
) -> None:
    # The figures of machines that are not at hand.
    monkeypatch.setattr(precision, "has_bf16", lambda: in_hardware)
    monkeypatch.setattr(precision, "bf16_gain", lambda *_: gain)
    assert choose(TrainingConfig(), model) == found


@pytest.mark.parametrize(("capability", "found"), [((7, 5), "16-mixed"), ((8, 0), "bf16-mixed")])
def test_auto_on_a_gpu_goes_by_its_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose(TrainingConfig(), WIDE) == found


def test_the_gain_is_measured() -> None:
    assert 0.01 < bf16_gain(256, 512, 64) < 100


@pytest.mark.parametrize(("name", "dtype"), [("32-true", "float32"), ("bf16-mixed", "bfloat16")])
def test_a_forward_pass_runs_in_it(name: str, dtype: str) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layer = torch.nn.Linear(4, 4).to(device)
    with autocast(name):
        assert str(layer(torch.zeros(2, 4, device=device)).dtype) == f"torch.{dtype}"
