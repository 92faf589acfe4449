"""Confusion: whether predictions are better than guesses."""

from __future__ import annotations

import math

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import TensorRule
from byoc.debugger.rules.labels import classes, first_whole
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save

EMPTY = np.zeros((0, 0), dtype=np.int64)


class Confusion(TensorRule):
    """Fires when the confusion matrix is poor.

    AWS: each element of the diagonal over the diagonal's sum is at least ``min_diag``, each other
    one over its column's sum at most ``max_off_diag``; judged when the matrix is fully populated.

    Chosen: the formulas as they stand. No two elements of a diagonal can both be 0.9 of its sum,
    so with ``aws`` the rule fires wherever it is evaluated. Fully populated: ``rows`` rows of
    EVAL saves (of all saves where there are none of EVAL), after which it starts anew.

    recommended: judged at the end of a validation pass; fires when it is predicted no better than
    by chance (the mean recall over classes is not over that of guessing by two standard errors)
    although training rows are (by ``learnt`` and two standard errors), or ``passes`` times in a
    row (by three): a short fine-tuning may well not have begun to tell classes apart, in both.
    """

    needs = "labels and predictions, whole,"
    parameters = (
        Parameter("category_no", p.count(2), None, text="number of classes"),
        Parameter("labels", p.text, "labels", text="the tensor with labels"),
        Parameter("predictions", p.text, "predictions", text="and with predictions"),
        Parameter("labels_collection", p.text, "labels", text="or the collection with labels"),
        Parameter("predictions_collection", p.text, "predictions", text="and with predictions"),
        Parameter("min_diag", p.number(0, 1), 0.9, None, "least share of the diagonal"),
        Parameter("max_off_diag", p.number(0, 1), 0.1, None, "largest share off the diagonal"),
        Parameter("passes", p.count(), None, 5, "validation passes in a row at chance", ours=True),
        Parameter(
            "learnt", p.number(0, 1), 0.1, 0.1, "training's mean recall over chance", ours=True
        ),
        Parameter("rows", p.count(), 200, 200, "rows that a judgement needs", ours=True),
    )

    def start(self) -> None:
        self._matrix = self._training = EMPTY
        self._newest: Save | None = None
        self._has_eval = False
        self._at_chance = 0

    def check(self, save: Save) -> list[Finding] | None:
        pair = self._pair(save)
        if self.p.passes is not None and save.mode != ModeKeys.EVAL:
            found = self._end_pass()
            if pair is not None:
                self._training = self._counted(self._training, *pair)
            return found or None
        if pair is None or (self._has_eval and save.mode != ModeKeys.EVAL):
            return None
        if save.mode == ModeKeys.EVAL and not self._has_eval:
            self._has_eval, self._matrix = True, EMPTY
        self._matrix = self._counted(self._matrix, *pair)
        self._newest = save
        if self.p.passes is not None or self._matrix.sum() < self.p.rows:
            return []
        found = self._judge_shares(save)
        self._matrix = EMPTY
        return found

    def finish(self) -> list[Finding]:
        return self._end_pass()

    def _end_pass(self) -> list[Finding]:
        if self.p.passes is None or self._newest is None or self._matrix.sum() < self.p.rows:
            return []  # a pass of which few rows were saved goes on
        save, self._newest = self._newest, None
        found = self._judge_chance(save)
        self._matrix = EMPTY
        if self._training.sum() >= self.p.rows:
            self._training = EMPTY
        return found

    def _pair(self, save: Save) -> tuple[np.ndarray, np.ndarray] | None:
        found = []
        for name, collection in (
            (self.p.labels, self.p.labels_collection),
            (self.p.predictions, self.p.predictions_collection),
        ):
            known = save.names()
            chosen = [name] if name in known else self.pick(save, (collection,), None)
            whole = first_whole(save, chosen)
            if whole is None:
                return None
            found.append(classes(whole, argmax=True))
        return (found[0], found[1]) if found[0].shape == found[1].shape else None

    def _counted(self, matrix: np.ndarray, truth: np.ndarray, guessed: np.ndarray) -> np.ndarray:
        """[classes, classes], true by predicted: the matrix and these rows."""
        counted = truth >= 0
        truth, guessed = truth[counted], guessed[counted]
        highest = int(max(truth.max(initial=0), guessed.max(initial=0)))
        size = max(len(matrix), self.p.category_no or 0, highest + 1)
        grown = np.zeros((size, size), dtype=np.int64)
        grown[: len(matrix), : len(matrix)] = matrix
        np.add.at(grown, (truth, guessed), 1)
        return grown

    def _judge_shares(self, save: Save) -> list[Finding]:
        diagonal = self._matrix.diagonal().astype(np.float64)
        least = float((diagonal / max(diagonal.sum(), 1)).min())
        off = self._matrix - np.diag(self._matrix.diagonal())
        columns = np.maximum(self._matrix.sum(axis=0), 1)
        most = float((off / columns).max())
        if least >= self.p.min_diag and most <= self.p.max_off_diag:
            return []
        return [
            self.finding(
                save,
                f"smallest share of the diagonal {least:.3g}, largest share off it {most:.3g}",
                "look at the classes that are taken for one another",
                min_diag=least,
                max_off_diag=most,
            )
        ]

    def _judge_chance(self, save: Save) -> list[Finding]:
        skill = _skill(self._matrix)
        if skill is None:
            return []
        better, spread = skill
        # Of several passes at chance one may well lie two standard errors over it.
        self._at_chance = self._at_chance + 1 if better <= 3 * spread else 0
        trained = _skill(self._training) if self._training.sum() >= self.p.rows else None
        learns = (
            better <= 2 * spread
            and trained is not None
            and trained[0] - 2 * trained[1] > self.p.learnt
        )
        if not learns and self._at_chance < self.p.passes:
            return []
        why = "although training rows are" if learns else f"{self._at_chance} passes in a row"
        return [
            self.finding(
                save,
                f"validation is predicted no better than by chance, {why}: mean recall "
                f"{better:+.3g} from guessing's",
                "look whether the labels belong to their texts, and whether the model learns",
                better=better,
                training_better=None if trained is None else trained[0],
                passes=self._at_chance,
            )
        ]


def _skill(matrix: np.ndarray) -> tuple[float, float] | None:
    """Mean recall over classes less that of guessing, and its standard error under chance; None
    where there is one class."""
    rows = matrix.sum(axis=1)
    present = rows > 0
    if present.sum() < 2:
        return None
    recall = matrix.diagonal()[present] / rows[present]
    guessing = matrix.sum(axis=0)[present] / matrix.sum()
    spread = math.sqrt(float(np.sum(guessing * (1 - guessing) / rows[present]))) / len(recall)
    return float(recall.mean() - guessing.mean()), spread
