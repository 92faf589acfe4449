"""The classifier's arithmetic: losses, gradients, parameter groups, adapters."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from byoc.training.adapt import plain
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.model import Classifier, class_weights, evaluate
from byoc.training.optimizer import adamw, groups, layer_scales, schedule

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
NO_DROPOUT = TrainingConfig(dropout=0.0)


def distilbert(layers: int = 3) -> Any:
    torch.manual_seed(0)
    return DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=50, n_layers=layers, dim=16, hidden_dim=32, n_heads=2, num_labels=3
        )
    )


def bert() -> Any:
    return BertForSequenceClassification(BertConfig(**SMALL))


def roberta() -> Any:
    return RobertaForSequenceClassification(RobertaConfig(**SMALL, type_vocab_size=1))


def deberta() -> Any:
    return DebertaV2ForSequenceClassification(
        DebertaV2Config(
            **SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm"
        )
    )


ENCODERS: list[Callable[[], Any]] = [distilbert, bert, roberta, deberta]


def classifier(config: TrainingConfig, **more: Any) -> Classifier:
    found = Classifier(distilbert(), config, total_steps=10, class_counts=(6, 3, 1), **more)
    return found.train()


def rows(numbers: Sequence[int], whole: int) -> dict[str, Any]:
    """Some rows of a fixed batch, each of its own length, as a micro-batch of ``whole`` rows."""
    torch.manual_seed(1)
    ids, lengths = torch.randint(1, 50, (8, 12)), torch.arange(5, 13)
    labels = torch.tensor([0, 1, 2, 0, 0, 1, 2, 1])
    places = torch.tensor(numbers)
    longest = int(lengths[places].max())
    mask = (torch.arange(longest) < lengths[places][:, None]).long()
    kept = ids[places, :longest] * mask
    return {
        "input_ids": kept,
        "attention_mask": mask,
        "labels": labels[places],
        "rows": whole,
    }


def gradients(config: TrainingConfig, parts: Sequence[Sequence[int]], world: int = 1) -> Any:
    """As Lightning's accumulation, and DDP's mean over processes, sum them up."""
    module = classifier(config, world=world)
    for part in parts:
        loss = module.training_step(rows(part, 8), 0)
        (loss / len(parts)).backward()
    return {name: w.grad for name, w in module.model.named_parameters()}


@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.2}, {"class_weights": "balanced", "label_smoothing": 0.1}],
)
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_changes_no_gradient(parts: int, options: dict[str, Any]) -> None:
    whole = gradients(TrainingConfig(dropout=0.0, **options), [range(8)])
    config = TrainingConfig(dropout=0.0, gradient_accumulation_steps=parts, **options)
    cut = gradients(config, [range(part, 8, parts) for part in range(parts)])
    for name, gradient in whole.items():
        assert torch.allclose(gradient, cut[name], rtol=0, atol=1e-6), name


def test_more_processes_change_no_gradient() -> None:
    whole = gradients(NO_DROPOUT, [range(8)])
    # Each part as one process would see it; the mean over them is what DDP makes of it.
    cut = gradients(NO_DROPOUT, [range(0, 8, 2), range(1, 8, 2)], world=2)
    for name, gradient in whole.items():
        assert torch.allclose(gradient, cut[name], rtol=0, atol=1e-6), name


def test_filling_rows_count_for_nothing() -> None:
    alone, filled = classifier(NO_DROPOUT), classifier(NO_DROPOUT)
    loss = alone.training_step(rows([0, 1, 2], 3), 0).item()
    batch = rows([0, 1, 2, 3], 3)
    batch["labels"][3] = -100
    assert filled.training_step(batch, 0).item() == pytest.approx(loss, rel=1e-6)
    assert filled.train_loss == pytest.approx(alone.train_loss, rel=1e-6)


def test_the_loss_is_the_one_on_paper() -> None:
    """Cross entropy with smoothed targets, each row's terms by the weights of their classes."""
    smoothing, counts = 0.3, (6, 3, 1)
    config = TrainingConfig(dropout=0.0, label_smoothing=smoothing, class_weights="balanced")
    module, batch = classifier(config), rows(range(8), 8)
    logits = module(batch).double().tolist()
    weights = [10 / (3 * count) for count in counts]
    total = 0.0
    for row, label in zip(logits, batch["labels"].tolist(), strict=True):
        norm = math.log(sum(math.exp(value) for value in row))
        for number, value in enumerate(row):
            target = (1 - smoothing) * (number == label) + smoothing / 3
            total -= weights[number] * target * (value - norm)
    assert module.training_step(batch, 0).item() == pytest.approx(total / 8, rel=1e-5)


def test_balanced_weights_have_mean_1_over_the_rows() -> None:
    counts = (90, 9, 1)
    weights = class_weights(counts).tolist()
    assert weights == pytest.approx([100 / (3 * count) for count in counts])
    assert sum(w * n for w, n in zip(weights, counts, strict=True)) / 100 == pytest.approx(1)


def test_a_class_without_rows_weighs_nothing() -> None:
    assert class_weights((5, 0, 5)).tolist() == pytest.approx([1, 0, 1])


def test_the_training_loss_goes_on_where_an_earlier_run_stopped() -> None:
    whole, first, second = (classifier(NO_DROPOUT) for _ in range(3))
    for part in ([0, 1, 2], [3, 4]):
        whole.training_step(rows(part, 3), 0)
    first.training_step(rows([0, 1, 2], 3), 0)
    second.set_loss_state(first.loss_state())
    second.on_train_epoch_start()
    second.training_step(rows([3, 4], 3), 0)
    assert second.train_loss == whole.train_loss
    second.on_train_epoch_start()
    assert second.train_loss == 0.0


def test_validation_scores_are_those_of_all_processes() -> None:
    def gather(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fill = torch.tensor([-100])
        return torch.cat([logits, logits, logits[:1]]), torch.cat([labels, labels, fill])

    alone, gathered = classifier(NO_DROPOUT), classifier(NO_DROPOUT, gather=gather)
    for module in (alone, gathered):
        module.on_validation_epoch_start()
        module.validation_step(rows(range(8), 8), 0)
        module.on_validation_epoch_end()
    assert gathered.epoch_scores == pytest.approx(alone.epoch_scores)


def test_evaluate_has_neither_smoothing_nor_weights() -> None:
    found = evaluate(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]), "val")
    loss = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert found["val_loss"] == pytest.approx(loss)
    assert found["val_accuracy"] == 0.5


@pytest.mark.parametrize("encoder", ENCODERS)
def test_biases_and_norms_do_not_decay_and_all_else_does(encoder: Callable[[], Any]) -> None:
    model = encoder()
    decay = {
        id(weight): group["weight_decay"]
        for group in groups(model, TrainingConfig(weight_decay=0.1))
        for weight in group["params"]
    }
    assert len(decay) == len(list(model.parameters()))
    for name, weight in model.named_parameters():
        free = name.endswith("bias") or "norm" in name.lower()
        assert decay[id(weight)] == (0.0 if free else 0.1), name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_learning_rate_falls_from_the_head_to_the_embeddings(
    encoder: Callable[[], Any],
) -> None:
    scales = layer_scales(encoder(), 0.5)
    for name, scale in scales.items():
        if "emb" in name:
            assert scale == 0.5**4, name
        elif ".layer." in name:
            layer = int(name.split(".layer.")[1].split(".")[0])
            assert scale == 0.5 ** (3 - layer), name
        else:
            assert scale == 1.0, name
    assert {0.5**4, 0.5**3, 0.5**2, 0.5, 1.0} == set(scales.values())


@pytest.mark.parametrize("layer", ["model.layers.1.mlp.w", "transformer.h.1.w", "blocks.1.w"])
def test_layers_have_other_names_too(layer: str) -> None:
    class Named:
        def named_parameters(self) -> list[tuple[str, None]]:
            return [("wte.weight", None), (layer.replace("1", "0"), None), (layer, None)]

    assert list(layer_scales(Named(), 0.5).values()) == [0.125, 0.25, 0.5]


def test_no_layer_decay_means_two_groups() -> None:
    assert len(groups(distilbert(), TrainingConfig())) == 2


def test_the_schedule_warms_up_then_falls_to_zero() -> None:
    factor = schedule(10, 0.2)
    assert [round(factor(step), 3) for step in range(11)] == [
        0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0,
    ]  # fmt: skip


def test_the_fused_optimizer_steps_as_the_plain_one() -> None:
    models = [distilbert().eval(), distilbert().eval()]
    for model, scaled in zip(models, (False, True), strict=True):
        optimizer = adamw(model, TrainingConfig(lr=1e-3, layer_lr_decay=0.9), scaled=scaled)
        for _ in range(3):
            optimizer.zero_grad()
            model(**{k: v for k, v in rows(range(8), 8).items() if k != "rows"}).loss.backward()
            optimizer.step()
    for (name, mine), other in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        assert torch.allclose(mine, other, rtol=0, atol=1e-5), name


def test_gradients_are_clipped_by_their_norm() -> None:
    module = classifier(NO_DROPOUT)
    module.training_step(rows(range(8), 8), 0).backward()

    def gradient() -> torch.Tensor:
        return torch.cat([w.grad.flatten() for w in module.model.parameters()])

    whole = gradient()
    module.configure_gradient_clipping(None, None)
    assert torch.equal(gradient(), whole)
    module.configure_gradient_clipping(None, whole.norm().item() / 2)
    assert torch.allclose(gradient(), whole / 2, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_dropout_is_set_everywhere(encoder: Callable[[], Any]) -> None:
    model = encoder()
    config = TrainingConfig(dropout=0.0)
    module = Classifier(model, config, total_steps=1, class_counts=(1, 1)).train()
    batch = rows(range(4), 4)
    assert torch.equal(module(batch), module(batch))
    Classifier(model, TrainingConfig(dropout=0.4), total_steps=1, class_counts=(1, 1)).train()
    assert not torch.equal(module(batch), module(batch))
    found = [value for name, value in model.config.to_dict().items() if "dropout" in name]
    assert 0.4 in found
    assert set(found) <= {0.4, None}


def test_gradient_checkpointing_changes_no_gradient() -> None:
    whole = gradients(NO_DROPOUT, [range(8)])
    spared = gradients(TrainingConfig(dropout=0.0, gradient_checkpointing=True), [range(8)])
    for name, gradient in whole.items():
        assert torch.allclose(gradient, spared[name], rtol=0, atol=1e-7), name


def test_pairs_tell_token_types_only_to_encoders_that_have_them() -> None:
    types = torch.zeros(8, 12, dtype=torch.long)
    types[:, 3:] = 1
    changes = {}
    for encoder in (bert, roberta, distilbert):
        module = Classifier(encoder(), NO_DROPOUT, total_steps=1, class_counts=(1, 1)).train()
        batch = rows(range(8), 8)
        changes[encoder] = not torch.equal(
            module(batch), module({**batch, "token_type_ids": types})
        )
    assert changes == {bert: True, roberta: False, distilbert: False}


def test_a_compiler_is_asked_for_before_any_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingFault, match=r"compile=true needs .* a C compiler"):
        classifier(TrainingConfig(compile=True))


def test_without_lora_peft_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    module = classifier(TrainingConfig())
    assert plain(module.model, module.config) is module.model


@pytest.mark.parametrize("encoder", [distilbert, deberta])
def test_lora_trains_adapters_and_the_head_and_saves_plain_weights(
    encoder: Callable[[], Any], tmp_path: Path
) -> None:
    model = encoder()
    names = set(model.state_dict())
    frozen = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    config = TrainingConfig(dropout=0.0, lora_rank=4, lora_alpha=8, lr=0.05)
    module = Classifier(model, config, total_steps=20, class_counts=(1, 1, 1)).train()
    trained = {n for n, w in module.model.named_parameters() if w.requires_grad}
    assert trained
    assert all("lora_" in n or "classifier" in n or "pooler" in n for n in trained)
    assert any("classifier" in n for n in trained)
    optimizer = adamw(module.model, config, scaled=False)
    batch = rows(range(8), 8)
    batch["labels"] = batch["labels"] % module.model.config.num_labels
    for _ in range(3):
        optimizer.zero_grad()
        module.training_step(batch, 0).backward()
        optimizer.step()
    module.eval()
    expected = module(batch)
    merged = plain(module.model, config)
    assert set(merged.state_dict()) == names
    merged.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    found = loaded(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert torch.allclose(found, expected, atol=1e-5)
    changed = {n for n, w in loaded.named_parameters() if not torch.equal(w, frozen[n])}
    assert not [name for name in changed if "emb" in name or "norm" in name.lower()]
    assert any("layer" in name for name in changed)
