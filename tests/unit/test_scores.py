"""Scores against scikit-learn's."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from byoc.scores import scores


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_scikit_learn_s(classes: int, seed: int) -> None:
    source = random.Random(seed)
    labels = [*range(classes), *(source.randrange(classes) for _ in range(200))]
    guesses = [label if source.random() < 0.6 else source.randrange(classes) for label in labels]
    average = "binary" if classes == 2 else "macro"
    assert scores(labels, guesses, classes) == pytest.approx(
        {
            "mcc": matthews_corrcoef(labels, guesses),
            "accuracy": accuracy_score(labels, guesses),
            "f1": f1_score(labels, guesses, average=average),
        }
    )


def test_one_predicted_class_scores_0() -> None:
    assert scores([0, 1, 1], [1, 1, 1], 2)["mcc"] == 0.0


def test_perfect_scores_1() -> None:
    assert scores([0, 1, 1], [0, 1, 1], 2) == {"mcc": 1.0, "accuracy": 1.0, "f1": 1.0}
