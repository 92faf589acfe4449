"""Rules over gradients, weights, activations, labels: where each fires and where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from debugged import Saves, judge

RANDOM = np.random.default_rng(0)


def _normal(spread: float, *shape: int) -> np.ndarray:
    return RANDOM.normal(0, spread, shape or (20, 30)).astype(np.float32)


def _repeat(times: int, **tensors: object) -> Saves:
    saves = Saves()
    for _ in range(times):
        saves.train(**tensors)
    return saves


def test_vanishing_gradient_by_its_documented_threshold() -> None:
    small = {"abs_mean": 0.9e-7}
    assert judge(
        _repeat(1, gradient__a={"abs_mean": 1.1e-7}), "VanishingGradient", "aws"
    ).status == ("quiet")
    result = judge(_repeat(1, gradient__a=small), "VanishingGradient", "aws")
    assert result.status == "fired"
    assert result.findings[0].values["mean"] == pytest.approx(0.9e-7)
    assert judge(_repeat(1, gradient__a=small), "VanishingGradient", "aws", threshold="1e-8").status
    whole = _repeat(1, gradient__a=np.full((3, 3), -1e-9, np.float32))
    assert judge(whole, "VanishingGradient", "aws").status == "fired"
    neither = judge(_repeat(1, gradient__a={"min": 0.0}), "VanishingGradient", "aws")
    assert neither.reason == "gradients, whole or with the reduction abs mean, not saved"


def test_recommended_vanishing_gradient_leaves_biases_and_late_training() -> None:
    healthy = _repeat(
        5, gradient__q_DOT_weight={"abs_mean": 1e-3}, gradient__k_DOT_bias={"abs_mean": 1e-10}
    )
    assert judge(healthy, "VanishingGradient").status == "quiet"
    assert judge(healthy, "VanishingGradient", "aws").status == "fired"
    deep = _repeat(
        5, gradient__a_DOT_weight={"abs_mean": 1e-10}, gradient__b_DOT_weight={"abs_mean": 1e-2}
    )
    assert judge(deep, "VanishingGradient").fired == 3, "from the third save on"


def test_exploding_tensor() -> None:
    assert judge(_repeat(3, loss=1.0), "ExplodingTensor").status == "quiet"
    assert judge(_repeat(3, loss=np.nan), "ExplodingTensor").fired == 3
    assert judge(_repeat(3, loss=np.inf), "ExplodingTensor", "aws", only_nan="True").status == (
        "quiet"
    )
    reduced = _repeat(1, weight={"min": -np.inf, "mean": 0.0})
    assert judge(reduced, "ExplodingTensor").status == "fired"
    labels = judge(_repeat(1, names=np.array(["a"])), "ExplodingTensor")
    assert labels.status == "quiet"


def test_a_loss_scale_that_is_being_found_is_no_explosion() -> None:
    saves = Saves()
    for value in (np.inf, np.inf, 1.0, 1.0):
        saves.train(gradient__a={"abs_mean": value}, loss=1.0)
    assert judge(saves, "ExplodingTensor").status == "quiet"
    assert judge(saves, "ExplodingTensor", "aws").fired == 2


def test_a_gradient_that_explodes_in_the_last_save_is_not_waited_for() -> None:
    """Training ends when the loss is NaN: no further save comes."""
    saves = Saves()
    for value in (1.0, 1.0, np.nan):
        saves.train(gradient__a={"abs_mean": value}, loss=1.0)
    result = judge(saves, "ExplodingTensor")
    assert result.fired == 1
    assert result.findings[0].tensor == "gradient/a"


def _start(spread: float, gradient: float, loss: float) -> Saves:
    saves = Saves()
    for step in range(10):
        saves.train(
            layer0_DOT_weight={"std": spread},
            layer1_DOT_weight={"std": spread * 1.2},
            layer0_DOT_bias={"std": 0.0},
            gradient__layer0_DOT_weight=_normal(gradient),
            loss=loss * (1 - step / 100),
        )
    return saves


def test_poor_weight_initialization_by_each_of_its_three_signs() -> None:
    rule = "PoorWeightInitialization"
    assert judge(_start(0.02, 0.1, 0.69), rule, "aws").status == "quiet"
    assert "spread" in judge(_start(0.02, 1e-5, 0.69), rule, "aws").findings[0].what
    unequal = Saves()
    unequal.train(layer0_DOT_weight={"std": 1.0}, layer1_DOT_weight={"std": 0.3})
    assert "variances per layer differ by 11.1" in judge(unequal, rule, "aws").findings[0].what
    stuck = Saves()
    for step in range(10):
        stuck.train(loss=0.7, gradient__layer=_normal(0.1), at=step)
    result = judge(stuck, rule, "aws")
    assert [finding.step for finding in result.findings] == [5, 6, 7, 8, 9]
    late = Saves()
    for step in range(10, 30):
        late.train(loss=0.7, at=step)
    assert judge(late, rule, "aws").status == "not evaluated", "only the first steps are its"


def test_poor_weight_initialization_takes_our_percentiles() -> None:
    saves = _repeat(1, percentile__5__gradient__a=-1e-5, percentile__95__gradient__a=1e-5)
    assert judge(saves, "PoorWeightInitialization", "aws").findings[0].values["range"] == (
        pytest.approx(2e-5)
    )
    assert judge(saves, "PoorWeightInitialization").status == "quiet"


def test_recommended_poor_weight_initialization() -> None:
    rule = "PoorWeightInitialization"
    assert judge(_start(0.02, 1e-5, 0.69), rule).status == "quiet"
    assert "first loss is 40" in judge(_start(10, 1.0, 40.0), rule).findings[0].what
    assert judge(_start(0.0, 0.0, 0.69), rule).status == "fired"


def test_activation_inputs_are_compared_where_they_were_saved() -> None:
    saves = _repeat(
        1, fc1_relu_input={"std": 1.0}, fc2_relu_input={"std": 0.1}, layer0_DOT_weight={"std": 1.0}
    )
    result = judge(saves, "PoorWeightInitialization", "aws")
    assert "in fc1_relu_input" in result.findings[0].what


def test_saturated_activation() -> None:
    rule = "SaturatedActivation"
    saturated = np.full((8, 10), 12.0)
    saturated[:, :4] = 0.0
    assert judge(_repeat(1, h_tanh_input=saturated), rule, "aws").status == "fired"
    saturated[:, :6] = 0.0
    assert judge(_repeat(1, h_tanh_input=saturated), rule, "aws").status == "quiet"
    assert judge(_repeat(1, h_sigmoid_input=np.full((8, 10), 12.0)), rule, "aws").status == "quiet"
    assert judge(_repeat(1, h_sigmoid_input=np.full((8, 10), -30.0)), rule, "aws").status == "fired"
    ends = _repeat(1, h_tanh_input={"min": -20.0, "max": 20.0})
    assert judge(ends, rule, "aws").status == "not evaluated", "the ends do not tell"
    assert judge(_repeat(1, h_tanh_input={"min": -2.0, "max": 2.0}), rule).status == "quiet"
    assert judge(_repeat(1, h_tanh_input={"min": 15.0, "max": 20.0}), rule).status == "fired"
    far = _repeat(1, h_tanh_input={"min": -20.0, "max": 20.0}, percentile__5__h_tanh_input=11.0)
    far[0].tensors["percentile/95/h_tanh_input"] = np.array(19.0)
    assert judge(far, rule).status == "fired", "nine values of ten are over the bound"
    for under, over, status in ((-10.0, 10.0, "fired"), (-9.0, 10.0, "quiet")):
        both = _repeat(1, h_tanh_input={"min": -20.0, "max": 20.0})
        both[0].tensors["percentile/30/h_tanh_input"] = np.array(under)
        both[0].tensors["percentile/70/h_tanh_input"] = np.array(over)
        assert judge(both, rule).status == status, "60% of the values, or 30%"


def test_dead_relu() -> None:
    alive = np.maximum(_normal(1.0, 200, 10), 0)
    assert judge(_repeat(1, fc_relu_output=alive), "DeadRelu", "aws").status == "quiet"
    alive[:, :6] = 0
    result = judge(_repeat(1, fc_relu_output=alive), "DeadRelu", "aws")
    assert result.findings[0].values["percent"] == pytest.approx(60)
    assert judge(_repeat(1, fc_relu_output={"max": 0.0}), "DeadRelu").status == "fired"
    assert judge(_repeat(1, ReLU_output_0={"max": 2.0}), "DeadRelu").status == "quiet"
    assert judge(_repeat(1, ReLU_output_0={"max": 2.0}), "DeadRelu", "aws").status == (
        "not evaluated"
    )


def test_weight_update_ratio() -> None:
    rule, weight = "WeightUpdateRatio", _normal(1.0)
    saves = Saves()
    for factor in (0.0, 0.01, 20.0, 0.01):
        weight = weight + factor * _normal(1.0)
        saves.train(layer0_DOT_weight=weight)
    result = judge(saves, rule, "aws")
    assert [finding.step for finding in result.findings] == [2]
    assert "lower the learning rate" in result.findings[0].advice
    frozen = _repeat(5, update_ratio__layer0_DOT_weight=0.0)
    assert judge(frozen, rule).status == "fired"
    warm_up = Saves()
    for ratio in (0.0, 1e-6, 1e-4, 1e-4):
        warm_up.train(update_ratio__layer0_DOT_weight=ratio)
    assert judge(warm_up, rule).status == "quiet"
    apart = Saves()
    apart.train(0, layer0_DOT_weight=np.ones(4))
    apart.train(50, layer0_DOT_weight=np.arange(4) * 1e6)
    assert judge(apart, rule, "aws", num_steps=10).status == "not evaluated"
    assert judge(apart, rule, "aws").status == "fired"


def test_all_zero() -> None:
    half = np.array([0, 0, 1, 1])
    given = {"tensor_regex": "x"}
    assert judge(_repeat(1, x=half), "AllZero", "aws", **given).status == "quiet"
    assert judge(_repeat(1, x=half), "AllZero", "aws", **given, threshold=50).status == "fired"
    assert (
        judge(_repeat(1, x={"min": 0.0, "max": 0.0}), "AllZero", "aws", **given).status == "fired"
    )
    assert judge(_repeat(1, x={"l2": 0.1}), "AllZero", "aws", **given).status == "quiet"
    without = judge(_repeat(1, x=half), "AllZero", "aws")
    assert without.reason == "give collection_names or tensor_regex"
    lora = _repeat(1, lora_B_DOT_weight={"l2": 0.0}, layer0_DOT_bias={"l2": 0.0})
    assert judge(lora, "AllZero").status == "not evaluated", "they start at zero on purpose"
    assert judge(_repeat(1, layer0_DOT_weight={"l2": 0.0}), "AllZero").status == "fired"


def test_tensor_variance() -> None:
    rule, saves = "TensorVariance", _repeat(1, x={"std": 2.0})
    assert (
        judge(saves, rule, "aws", tensor_regex="x").reason == "give max_threshold or min_threshold"
    )
    assert judge(saves, rule, "aws", tensor_regex="x", max_threshold=3.9).status == "fired"
    assert judge(saves, rule, "aws", tensor_regex="x", max_threshold=4.1).status == "quiet"
    assert judge(saves, rule, "aws", tensor_regex="x", min_threshold=4.1).status == "fired"
    assert judge(_repeat(1, layer0_DOT_weight={"std": 10.0}), rule).status == "fired"


def test_unchanged_tensor() -> None:
    rule, given = "UnchangedTensor", {"collection_names": "weights"}
    value = _normal(1.0)
    saves = Saves()
    for step in range(6):
        saves.train(layer0_DOT_weight=value, layer1_DOT_weight=value + 1e-3 * step)
    result = judge(saves, rule, "aws", **given)
    assert result.fired == 4, "from the third save on"
    assert {finding.tensor for finding in result.findings} == {"layer0.weight"}
    assert judge(saves, rule, "aws", **given, num_steps=7).status == "quiet"
    assert judge(saves, rule).status == "fired"
    nan = _repeat(4, layer0_DOT_weight=np.array([np.nan]))
    assert judge(nan, rule, "aws", **given).status == "quiet"
    assert judge(nan, rule, "aws", **given, equal_nan=True).status == "fired"
    moved = Saves()
    for step in range(6):
        moved.train(layer0_DOT_weight={"mean": 1e-3 + 1e-9 * step, "l2": 5.0})
    assert judge(moved, rule).status == "quiet"
    assert judge(moved, rule, "aws", **given).status == "fired", "close is enough for AWS's"


def _labels(counts: list[int], wrong: list[float], rows: int = 100) -> Saves:
    """``wrong`` by class: the share that is predicted as the next class."""
    truth = np.repeat(np.arange(len(counts)), counts)
    random = np.random.default_rng(0)
    guess = np.where(
        random.random(len(truth)) < np.array(wrong)[truth], (truth + 1) % len(counts), truth
    )
    order = random.permutation(len(truth))
    saves = Saves()
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        saves.train(labels=truth[part], predictions=guess[part])
    return saves


def test_class_imbalance() -> None:
    rule = "ClassImbalance"
    assert judge(_labels([300, 300], [0.1, 0.1]), rule, "aws").status == "quiet"
    assert judge(_labels([570, 30], [0.1, 0.1]), rule).status == "fired"
    assert judge(_labels([370, 30], [0.1, 0.1]), rule).status == "quiet", "400 rows are too few"
    assert judge(_labels([370, 30], [0.1, 0.1]), rule, samples=400).status == "fired"
    wrong = _labels([300, 300], [0.8, 0.1])
    assert "class 0 are predicted wrong" in judge(wrong, rule, "aws").findings[0].what
    assert judge(wrong, rule).status == "quiet"
    scores = Saves()
    for _ in range(6):
        scores.train(labels=np.arange(100) % 2, predictions=np.tile([0.9, 0.1], (100, 1)))
    assert judge(scores, rule, "aws", argmax=True).status == "fired"


def _validated(wrong: float, passes: int = 3, trained_wrong: float = 0.5) -> Saves:
    """Labels of two classes in training and validation, and the shares that are predicted wrong."""
    saves, random = Saves(), np.random.default_rng(1)
    for _ in range(passes):
        for mode, share in ((saves.train, trained_wrong), (saves.validate, wrong)):
            truth = random.integers(0, 2, 400)
            guess = np.where(random.random(400) < share, 1 - truth, truth)
            mode(labels=truth, predictions=guess)
    return saves


def test_confusion() -> None:
    assert judge(_validated(0.1), "Confusion").status == "quiet"
    assert judge(_validated(0.1, trained_wrong=0.0), "Confusion").status == "quiet"
    assert judge(_validated(0.5), "Confusion").status == "quiet", "it may still learn"
    found = judge(_validated(0.5, passes=5), "Confusion").findings
    assert [finding.values["passes"] for finding in found] == [5]
    (first, *_) = judge(_validated(0.5, passes=1, trained_wrong=0.2), "Confusion").findings
    assert "although training rows are" in first.what
    right = _validated(0.0, trained_wrong=0.0)
    assert judge(right, "Confusion", "aws").status == "fired", "two classes cannot reach 0.9"
    assert judge(right, "Confusion", "aws", min_diag=0.4, max_off_diag=0.2).status == "quiet"
    whole = Saves()
    whole.train(labels=np.arange(300) % 3, predictions=np.zeros(300, int))
    assert judge(whole, "Confusion", "aws", category_no=3).findings[0].values["min_diag"] == 0


def test_nlp_sequence_ratio() -> None:
    ids = np.ones((4, 10), dtype=np.int64)
    ids[:, 4:] = 0
    saves = _repeat(10, input_ids=ids)
    assert judge(saves, "NLPSequenceRatio", "aws").status == "not evaluated"
    given = {"tensor_regex": "input_ids"}
    assert judge(saves, "NLPSequenceRatio", "aws", **given).findings[0].values["percent"] == 60
    assert judge(
        saves, "NLPSequenceRatio", "aws", **given, token_thresholds_percent="60"
    ).status == ("quiet")
    two = {**given, "token_values": "0, 1", "token_thresholds_percent": "70, 30"}
    assert judge(saves, "NLPSequenceRatio", "aws", **two).findings[0].values["token"] == 1
    ids[:, 3:] = 0
    assert judge(_repeat(10, input_ids=ids), "NLPSequenceRatio").status == "fired"


def test_stalled_training() -> None:
    saves = _repeat(3, loss=1.0)
    assert judge(saves, "StalledTrainingRule").status == "quiet"
    saves[2].time += 2000
    result = judge(saves, "StalledTrainingRule")
    assert result.findings[0].step == 1
    assert judge(saves, "StalledTrainingRule", threshold=3000).status == "quiet"


def test_similar_across_runs_wants_another_job(tmp_path: Path) -> None:
    saves = _repeat(3, loss=1.0)
    assert judge(saves, "SimilarAcrossRuns").reason == "give other_trial"
