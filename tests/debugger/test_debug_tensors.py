"""What a debugged job saves, read by smdebug's own reader, against values computed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from byoc import contract
from byoc.corpus import write_corpus
from byoc.debugger import names
from byoc.training.config import TrainingConfig, as_hyperparameters
from debugged_training import CONFIG, Seen, run, run_and_see

STEPS = 9  # an epoch of 540 rows
SAVED = [*range(10), 12, 15]  # the first ten, and each third


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    write_corpus(tmp_path / "input" / "data", size=600)
    return tmp_path


def trial(tree: Path) -> Any:
    from smdebug.trials import create_trial

    return create_trial(str(tree / "output" / "data" / "debugger" / "tensors"))


def modes() -> Any:
    from smdebug.core.modes import ModeKeys

    return ModeKeys


def reduction(found: Any, name: str, step: int, kind: str, absolute: bool = False) -> float:
    value = found.tensor(name).reduction_value(step, kind, mode=modes().TRAIN, abs=absolute)
    return float(np.asarray(value).reshape(-1)[0])


def check(found: Any, seen: Seen, step: int, tolerance: float) -> None:
    """Losses, gradients, weights and updates of one saved step."""
    loss = float(found.tensor(names.LOSS).value(step, mode=modes().TRAIN))
    assert loss == pytest.approx(seen.losses[step], rel=tolerance)
    for name, gradient in seen.gradients[step].items():
        full, scale = names.gradient(name), float(gradient.abs().max()) or 1e-12
        for kind in ("min", "max", "mean", "std"):
            expected = float(getattr(gradient, kind)())
            assert reduction(found, full, step, kind) == pytest.approx(
                expected, rel=tolerance, abs=tolerance * scale
            ), (name, kind)
        assert reduction(found, full, step, "mean", True) == pytest.approx(
            float(gradient.abs().mean()), rel=tolerance, abs=tolerance * scale
        )
        saved = [
            float(found.tensor(names.percentile(full, p)).value(step, mode=modes().TRAIN))
            for p in names.PERCENTS
        ]
        expected = np.percentile(gradient.numpy(), names.PERCENTS)
        assert saved == pytest.approx(expected, rel=tolerance, abs=tolerance * scale)
    for name, weights in seen.weights[step].items():
        assert reduction(found, name, step, "l2") == pytest.approx(float(weights.norm()), rel=1e-5)
        before, after = weights.double(), seen.after[step][name].double()
        if before.std() > 0:
            ratio = float(found.tensor(names.update_ratio(name)).value(step, mode=modes().TRAIN))
            expected = float((after - before).std(correction=0) / before.std(correction=0))
            assert ratio == pytest.approx(expected, rel=1e-3)


def debugging(config: TrainingConfig = CONFIG, **changes: Any) -> TrainingConfig:
    return replace(config, debug_save_interval=3, debug_eval_save_interval=1, **changes)


def test_fp32(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = run_and_see(debugging(), monkeypatch)
    found = trial(tree)
    assert found.steps(modes().TRAIN) == SAVED
    for step in (0, 1, 9, 15):
        check(found, seen, step, 1e-4)
    losses = found.tensor(names.LOSS).values(mode=modes().EVAL)
    assert list(losses) == [0, 1]
    assert [float(loss) for loss in losses.values()] == pytest.approx(
        seen.validation_losses, rel=1e-5
    )


def test_accumulation_counts_optimizer_steps_and_sums_their_gradients(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = run_and_see(debugging(gradient_accumulation_steps=4), monkeypatch)
    found = trial(tree)
    assert found.steps(modes().TRAIN) == SAVED
    for step in (0, 5, 15):
        check(found, seen, step, 1e-4)


def check_rounded(found: Any, seen: Seen) -> None:
    """Of the first step, in 16 bits: exactly the gradients that training has, and about those that
    fp32 gives."""
    loss = float(found.tensor(names.LOSS).value(0, mode=modes().TRAIN))
    assert loss == pytest.approx(seen.losses[0], rel=0.02)
    for name, gradient in seen.raw[0].items():
        full = names.gradient(name)
        assert reduction(found, full, 0, "l2") == pytest.approx(float(gradient.norm()), rel=1e-5)
        assert reduction(found, full, 0, "max") == float(gradient.max())
    exact = torch.cat([gradient.flatten() for gradient in seen.gradients[0].values()])
    saved = [reduction(found, names.gradient(name), 0, "l2") for name in seen.gradients[0]]
    assert float(np.linalg.norm(saved)) == pytest.approx(float(exact.norm()), rel=0.05)


def test_fp16s_scaled_gradients_are_saved_unscaled(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**6)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    seen = run_and_see(debugging(epochs=1), monkeypatch, plugin=plugin)
    check_rounded(trial(tree), seen)


def test_bf16(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = run_and_see(debugging(epochs=1, precision="bf16"), monkeypatch)
    found = trial(tree)
    check_rounded(found, seen)
    activations = found.tensor_names(collection=names.ACTIVATIONS)
    assert len(activations) == 4
    assert all(np.isfinite(reduction(found, name, 0, "mean")) for name in activations)


def test_two_processes_write_once_the_gradient_of_both(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = debugging(epochs=1, debug_rules="none")
    seen = run_and_see(config, monkeypatch)
    root = tmp_path_factory.mktemp("two")
    write_corpus(root / "input" / "data", size=600)
    (root / "input" / "config").mkdir()
    settings = as_hyperparameters(replace(config, processes_per_host=2))
    (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(settings))
    subprocess.run(
        [sys.executable, "-m", "byoc.training.main"],
        env={**os.environ, contract.BASE_DIR_VARIABLE: str(root)},
        check=True,
        cwd=root,
    )
    found = trial(root)
    assert found.steps(modes().TRAIN) == [*range(STEPS)]
    assert found.workers() == ["worker_0"]
    for step in (0, 1):
        for name, gradient in seen.gradients[step].items():
            saved = reduction(found, names.gradient(name), step, "l2")
            assert saved == pytest.approx(float(gradient.norm()), rel=2e-3, abs=1e-6), name
    nodes = list((root / "output" / "data" / "debugger").rglob("*.algo-1.json"))
    assert nodes
    stamps = [json.loads(line) for path in nodes for line in path.read_text().splitlines()]
    cores = [s for s in stamps if (s["Name"], s["Dimension"]) == ("cpu0", "CPUUtilization")]
    gaps = np.diff(sorted(sample["Timestamp"] for sample in cores))
    assert (gaps > 0.2).all()  # one sampler, not one for each process


def test_predictions_labels_and_tokens(tree: Path) -> None:
    run(debugging(epochs=1))
    found = trial(tree)
    for mode in (modes().TRAIN, modes().EVAL):
        labels, guesses, tokens = (
            found.tensor(name).value(0, mode=mode)
            for name in (names.LABELS, names.PREDICTIONS, names.INPUT_IDS)
        )
        assert len(labels) == len(guesses) == len(tokens)
        assert set(labels.tolist()) == {0, 1}
        assert tokens.dtype == np.int64


def test_a_debugged_job_gives_the_very_same_model_and_metrics(tree: Path) -> None:
    plain = replace(CONFIG, debug=False, dropout=0.1, gradient_clip=1.0)
    expected = run(plain)
    weights = (tree / "model" / "model.safetensors").read_bytes()
    assert not (tree / "output" / "data" / "debugger").exists()
    found = run(replace(plain, debug=True, debug_save_interval=1, debug_profile_steps="2-3"))
    assert found == expected
    assert (tree / "model" / "model.safetensors").read_bytes() == weights
    assert (tree / "output" / "data" / "debugger" / "tensors").is_dir()


def test_sagemakers_own_file_says_what_is_saved_where(tree: Path) -> None:
    config = tree / "input" / "config"
    config.mkdir()
    hook = {
        "S3OutputPath": "s3://bucket/debug",
        "LocalPath": str(tree / "output" / "tensors"),
        "HookParameters": {"save_interval": "4"},
        "CollectionConfigurations": [
            {"CollectionName": "weights", "CollectionParameters": {"save_interval": "8"}},
            {
                "CollectionName": "own",
                "CollectionParameters": {
                    "include_regex": r"attention\.out_lin_output_0",
                    "train.save_steps": "2",
                    "reductions": "max,abs_max",
                },
            },
        ],
    }
    (config / "debughookconfig.json").write_text(json.dumps(hook))
    run(replace(CONFIG, epochs=1, debug=False))
    from smdebug.trials import create_trial

    (tree / "output" / "tensors" / "training_job_end.ts").touch()  # the service's own work
    found = create_trial(str(tree / "output" / "tensors"))
    train = modes().TRAIN
    assert found.tensor(names.LOSS).steps(train) == [*range(9)]  # the first ten steps
    assert not [name for name in found.tensor_names() if name.startswith("percentile")]
    weight = "distilbert.transformer.layer.0.ffn.lin1.weight"
    assert 8 in found.tensor(weight).steps(train)
    assert found.tensor(weight).value(0, mode=train).ndim == 2
    (own, _) = found.tensor_names(collection="own")
    assert own == "distilbert.transformer.layer.0.attention.out_lin_output_0"
    assert 2 in found.tensor(own).steps(train)
    assert reduction(found, own, 2, "max", True) >= reduction(found, own, 2, "max")
    assert found.tensor_names(collection="gradients") == []
