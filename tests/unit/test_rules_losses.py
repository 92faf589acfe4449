"""Rules over losses, first AWS's worked cases."""

from __future__ import annotations

import numpy as np

from debugged import Saves, judge


def _losses(values: list[float], every: int) -> Saves:
    saves = Saves()
    for number, loss in enumerate(values):
        saves.train(number * every, loss=loss)
    return saves


def test_an_equal_loss_is_not_lower() -> None:
    """.30 .33 .31 .30 saved every 4 steps: step 12 is the first check, against step 0."""
    result = judge(_losses([0.30, 0.33, 0.31, 0.30], 4), "LossNotDecreasing", "aws")
    assert [finding.step for finding in result.findings] == [12]
    assert "0.3 at step 0" in result.findings[0].what


def test_checks_are_num_steps_apart_and_look_num_steps_back() -> None:
    """Saved every 3 steps, num_steps 10: step 21 against 9, then step 33."""
    losses = [1.0] * 12
    result = judge(_losses(losses, 3), "LossNotDecreasing", "aws")
    assert [finding.step for finding in result.findings] == [21, 33]
    assert "step 9" in result.findings[0].what
    assert "step 21" in result.findings[1].what


def test_a_loss_must_fall_by_diff_percent() -> None:
    saves = _losses([1.0, 0.9995], 10)
    saves.train(20, loss=0.9995 * 0.998)
    result = judge(saves, "LossNotDecreasing", "aws")
    assert [finding.step for finding in result.findings] == [10]
    assert judge(saves, "LossNotDecreasing", "aws", diff_percent="0.01").status == "quiet"


def test_a_rise_is_told_from_a_standstill_and_nan_is_a_rise() -> None:
    assert "rises" in judge(_losses([1.0, 1.2], 10), "LossNotDecreasing", "aws").findings[0].what
    assert "does not fall" in (
        judge(_losses([1.0, 1.02], 10), "LossNotDecreasing", "aws").findings[0].what
    )
    assert "rises" in judge(_losses([1.0, np.nan], 10), "LossNotDecreasing", "aws").findings[0].what


def test_without_a_mode_validation_comes_first() -> None:
    saves = Saves()
    for step in range(30):
        saves.train(step, loss=1.0 - step / 100)
    for step in range(30):
        saves.validate(step, loss=1.0)
    assert judge(saves, "LossNotDecreasing", "aws").findings[0].mode == "EVAL"
    assert judge(saves, "LossNotDecreasing", "aws", mode="TRAIN").status == "quiet"


def test_smdebugs_own_loss_names_count_by_their_collection() -> None:
    saves = Saves()
    for step in range(0, 40, 4):
        saves.train(step, CrossEntropyLoss_output_0=0.7)
    collections = {"losses": {"tensor_names": ["CrossEntropyLoss_output_0"]}}
    result = judge(saves, "LossNotDecreasing", "aws", collections)
    assert result.status == "fired"
    assert result.findings[0].tensor == "CrossEntropyLoss_output_0"
    without = judge(saves, "LossNotDecreasing", "aws", {})
    assert (without.status, without.reason) == (
        "not evaluated",
        "losses (collection losses, or tensor_regex) not saved",
    )
    assert judge(saves, "LossNotDecreasing", "aws", {}, tensor_regex="Loss_out").status == "fired"


def _noisy(start: float, end: float, steps: int, seed: int = 0) -> Saves:
    saves, random = Saves(), np.random.default_rng(seed)
    for step in range(steps):
        saves.train(step, loss=start + (end - start) * step / steps + random.normal(0, 0.08))
    return saves


def test_recommended_tells_a_slow_fall_from_noise() -> None:
    flat = [judge(_noisy(0.69, 0.69, 250, seed), "LossNotDecreasing") for seed in range(20)]
    assert sum(result.status == "fired" for result in flat) >= 18
    falling = [judge(_noisy(0.69, 0.5, 250, seed), "LossNotDecreasing") for seed in range(20)]
    assert [result.status for result in falling] == ["quiet"] * 20


def _passes(validation: list[float], training: list[float], rows: int = 4) -> Saves:
    saves = Saves()
    for val, train in zip(validation, training, strict=True):
        for _ in range(5):
            saves.train(loss=train)
        for _ in range(rows):
            saves.validate(loss=val)
    return saves


def test_overfit_compares_validation_with_training() -> None:
    saves = _passes([0.60, 0.56, 0.52], [0.6, 0.5, 0.5])
    result = judge(saves, "Overfit", "aws")
    assert result.status == "fired"
    assert (result.findings[0].mode, result.findings[0].step) == ("EVAL", 4)
    assert result.fired == 4, "12% over, in each step of the second pass only"
    assert judge(saves, "Overfit", "aws", ratio_threshold=0.2).status == "quiet"
    assert judge(saves, "Overfit", "aws", patience=5).status == "quiet"
    assert judge(saves, "Overfit", "aws", start_step=8).status == "quiet"


def test_recommended_overfit_wants_validation_to_rise() -> None:
    memorizing = _passes([0.6, 0.5, 0.9, 1.2], [0.6, 0.3, 0.05, 0.01])
    assert judge(memorizing, "Overfit").fired == 1
    still_better = _passes([0.6, 0.5, 0.48, 0.47], [0.6, 0.3, 0.1, 0.05])
    assert judge(still_better, "Overfit").status == "quiet"
    assert judge(still_better, "Overfit", "aws").status == "fired"


def test_overfit_without_validation_is_not_evaluated() -> None:
    result = judge(_losses([1.0, 0.9], 1), "Overfit")
    assert (result.status, result.reason) == (
        "not evaluated",
        "losses of both TRAIN and EVAL not saved",
    )


def test_overtraining_counts_steps_without_a_new_low() -> None:
    saves = Saves()
    for loss in (1.0, 0.9, *([0.895] * 6)):
        saves.train(loss=loss)
    result = judge(saves, "Overtraining", "aws")
    assert [finding.step for finding in result.findings] == [6, 7], "0.895 is no gain of 0.01"
    assert judge(saves, "Overtraining", "aws", delta=0.001, patience_train=6).status == "quiet"
    assert judge(saves, "Overtraining").status == "not evaluated"


def test_recommended_overtraining_counts_passes() -> None:
    best_is_late = _passes([0.6, 0.5, 0.45, 0.46, 0.47, 0.48, 0.5], [0.5] * 7)
    assert judge(best_is_late, "Overtraining").status == "quiet"
    gone_on = _passes([0.6, 0.5, 0.51, 0.52, 0.55, 0.6, 0.7], [0.5] * 7)
    result = judge(gone_on, "Overtraining")
    assert result.status == "fired"
    assert "0.5 in 5 passes" in result.findings[0].what
