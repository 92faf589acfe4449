"""Training on a GPU: CUDA graphs change nothing but the time; precision by capability."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from byoc import contract
from byoc.corpus import write_corpus
from byoc.training.config import TrainingConfig

CONFIG = TrainingConfig(
    epochs=3, lr=1e-3, model_name_or_path="scratch", max_length=32, batch_size=64, precision="32"
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    write_corpus(tmp_path / "input" / "data", size=1500)
    return tmp_path


def run(config: TrainingConfig, tree: Path) -> list[dict[str, Any]]:
    """Trains; the lines of metrics.jsonl."""
    from byoc.training.fit import train
    from byoc.training.place import Place
    from byoc.training.prepare import prepare
    from byoc.training.sources import read_splits
    from byoc.training.stopping import StopRequest

    folder = tree / f"prepared-{len(list(tree.glob('prepared-*')))}"
    folder.mkdir()
    train(prepare(config, read_splits(config), folder), StopRequest(), Place())
    lines = (contract.output_data_dir() / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["train_loss"] for line in lines if "lr" in line]


def test_losses_with_graphs_are_those_without(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from byoc.training import graphs

    captured: list[tuple[int, ...]] = []
    captures = graphs.Graphs._captures

    def counted(self: Any, shape: tuple[int, ...], inputs: Any) -> bool:
        found = captures(self, shape, inputs)
        captured.extend([shape] * found)
        return found

    monkeypatch.setattr(graphs.Graphs, "_captures", counted)
    plain = losses(run(replace(CONFIG, cuda_graphs=False), tree))
    assert not captured
    graphed = losses(run(CONFIG, tree))
    assert captured, capsys.readouterr().out
    assert all(width % graphs.MULTIPLE == 0 or width <= 32 for _, width in captured)
    assert len(plain) == len(graphed) > 40
    # Other kernels may be chosen, and each step builds on the last.
    assert graphed[:10] == pytest.approx(plain[:10], abs=2e-3)
    assert graphed == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize(
    "asked",
    [
        {"precision": "auto"},
        {"precision": "16"},
        {"gradient_accumulation_steps": 2},
        {"class_weights": "balanced", "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_learns_with_every_setting(asked: dict[str, Any], tree: Path) -> None:
    lines = run(replace(CONFIG, **asked), tree)
    epochs = [line for line in lines if "val_mcc" in line]
    assert len(epochs) == 3
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]


def test_a_loss_that_is_not_a_number_fails_and_names_the_step(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.functional import cross_entropy

    from byoc.training.faults import TrainingFault

    steps = iter(range(1, 1000))

    def breaks(logits: Any, *words: Any, **named: Any) -> Any:
        found = cross_entropy(logits, *words, **named)
        return found * float("nan") if next(steps) == 8 else found

    monkeypatch.setattr("byoc.training.model.cross_entropy", breaks)
    with pytest.raises(TrainingFault, match=r"diverged in epoch 1, step 8: .* lower lr"):
        run(CONFIG, tree)


def test_a_model_that_cannot_be_captured_is_trained_without_graphs(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers.models.distilbert.modeling_distilbert import TransformerBlock

    forward = TransformerBlock.forward

    def looks_at_numbers(self: Any, states: Any, *words: Any, **named: Any) -> Any:
        assert states.abs().sum().item() >= 0
        return forward(self, states, *words, **named)

    monkeypatch.setattr(TransformerBlock, "forward", looks_at_numbers)
    found = losses(run(replace(CONFIG, epochs=1), tree))
    assert "without CUDA graphs: " in capsys.readouterr().out
    assert len(found) > 10
