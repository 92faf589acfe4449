"""Rules over labels and token numbers: ClassImbalance, NLPSequenceRatio; what Confusion shares."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger import names
from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import TensorRule, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save


def classes(tensor: np.ndarray, argmax: bool) -> np.ndarray:
    """[rows] class numbers, from numbers or from a score for each class."""
    if argmax and tensor.ndim > 1:
        tensor = tensor.argmax(axis=-1)
    return tensor.reshape(-1).astype(np.int64)


class ClassImbalance(TensorRule):
    """Fires when classes are very unequal, or the predictions of one are mostly wrong.

    AWS: the ratio of the largest to the smallest class is over ``threshold_imbalance``, or the
    share of mispredictions of a class is over ``threshold_misprediction``, once ``samples``
    labels have been seen; ``argmax`` makes classes of scores.

    Chosen: labels of TRAIN saves count (all where there are none of TRAIN), over all saves so
    far; a class that a label number below the highest stands for, but that never came, is not
    counted. It looks each time that ``samples`` more labels have come.

    recommended: the imbalance alone. A model that is still learning predicts the larger class only,
    so the other's mispredictions are all of it.
    """

    needs = "labels (labels_regex)"
    parameters = (
        Parameter("threshold_imbalance", p.number(1), 10.0, text="largest over smallest class"),
        Parameter("threshold_misprediction", p.number(0, 1), 0.7, 1.0, "wrong share of a class"),
        Parameter("samples", p.count(), 500, text="labels between two looks"),
        Parameter("argmax", p.boolean, False, text="predictions are scores of classes"),
        Parameter("labels_regex", p.patterns, ".*labels", text="the tensor with labels"),
        Parameter("predictions_regex", p.patterns, ".*predictions", text="and with predictions"),
    )

    def start(self) -> None:
        self._counts = np.zeros(0, dtype=np.int64)
        self._wrong = np.zeros(0, dtype=np.int64)
        self._next = self.p.samples
        self._mode: ModeKeys | None = None

    def check(self, save: Save) -> list[Finding] | None:
        labels = first_whole(save, self.pick(save, None, self.p.labels_regex))
        if labels is None or not self._is_wanted(save.mode):
            return None
        truth = classes(labels, argmax=False)
        self._count(truth, save)
        if self._counts.sum() < self._next:
            return []
        self._next = int(self._counts.sum()) + int(self.p.samples)
        return [*self._imbalance(save), *self._mispredictions(save)]

    def _is_wanted(self, mode: ModeKeys) -> bool:
        if mode == ModeKeys.TRAIN and self._mode not in (None, ModeKeys.TRAIN):
            self._counts, self._wrong = self._counts * 0, self._wrong * 0
        if self._mode is None or mode == ModeKeys.TRAIN:
            self._mode = mode
        return bool(mode == self._mode)

    def _count(self, truth: np.ndarray, save: Save) -> None:
        truth = truth[truth >= 0]  # -100 marks what no loss counts
        size = max(len(self._counts), int(truth.max(initial=-1)) + 1)
        self._counts = np.pad(self._counts, (0, size - len(self._counts)))
        self._wrong = np.pad(self._wrong, (0, size - len(self._wrong)))
        self._counts += np.bincount(truth, minlength=size)
        predictions = first_whole(save, self.pick(save, None, self.p.predictions_regex))
        if predictions is None:
            return
        guessed = classes(predictions, self.p.argmax)
        if guessed.shape == truth.shape:
            self._wrong += np.bincount(truth[guessed != truth], minlength=size)

    def _imbalance(self, save: Save) -> Iterator[Finding]:
        present = self._counts[self._counts > 0]
        if len(present) < 2:
            return
        ratio = float(present.max() / present.min())
        if ratio > self.p.threshold_imbalance:
            largest = int(self._counts.argmax())
            yield self.finding(
                save,
                f"the largest class, {largest}, has {ratio:.3g} times the rows of the smallest "
                f"({int(present.max())} to {int(present.min())})",
                "weight the loss by class, sample the classes evenly, or judge by MCC or F1 "
                "instead of accuracy",
                ratio=ratio,
            )

    def _mispredictions(self, save: Save) -> Iterator[Finding]:
        shares = self._wrong / np.maximum(self._counts, 1)
        worst = int(shares.argmax())
        if shares[worst] > self.p.threshold_misprediction:
            yield self.finding(
                save,
                f"{100 * shares[worst]:.3g}% of class {worst} are predicted wrong",
                "give the class more rows or more weight",
                share=float(shares[worst]),
            )


def first_whole(save: Save, chosen: list[str]) -> np.ndarray | None:
    for name in chosen:
        whole = save.whole(name)
        if whole is not None and whole.size:
            return whole
    return None


class NLPSequenceRatio(TensorRule):
    """Fires when a token makes up too much of the input: padding, or unknown words.

    AWS: the percentage of each of ``token_values`` is over its ``token_thresholds_percent``.

    Chosen: the share is over all positions of a save; one threshold stands for all tokens.

    recommended: the hook's ``input_ids`` and whatever smdebug calls an embedding's input; the
    share is that of the newest ``saves`` together, over 60%: random batches of short sentences
    are half padding.
    """

    needs = "token numbers (tensor_regex)"
    parameters = (
        tensor_regex(
            ".*embedding0_input_0",
            rf"^{names.INPUT_IDS}$,.*embedding0_input_0,.*word_embeddings_input_0",
        ),
        Parameter("token_values", p.numbers, "0", text="token numbers"),
        Parameter("token_thresholds_percent", p.numbers, "50", "60", "their largest share"),
        Parameter("saves", p.count(), 1, 10, "saves that are taken together", ours=True),
    )

    def start(self) -> None:
        self._thresholds = self.p.token_thresholds_percent
        if len(self._thresholds) == 1:
            self._thresholds *= len(self.p.token_values)
        if len(self._thresholds) != len(self.p.token_values):
            raise p.ParameterError(
                f"rule {self.rule_name}: {len(self.p.token_values)} token_values, "
                f"{len(self._thresholds)} token_thresholds_percent: give one, or one for each"
            )
        self._newest: deque[np.ndarray] = deque(maxlen=self.p.saves)

    def check(self, save: Save) -> list[Finding] | None:
        ids = first_whole(save, self.pick(save, None, self.p.tensor_regex))
        if ids is None:
            return None
        counts = [ids.size, *((ids == token).sum() for token in self.p.token_values)]
        self._newest.append(np.array(counts))
        if len(self._newest) < self.p.saves:
            return []
        size, *found = np.sum(self._newest, axis=0)
        findings = []
        for token, threshold, of in zip(self.p.token_values, self._thresholds, found, strict=True):
            percent = 100 * float(of) / float(size)
            if percent > threshold:
                findings.append(
                    self.finding(
                        save,
                        f"{percent:.3g}% of the input is token {token:g}",
                        "padding: pad each batch to its own longest text and put texts of like "
                        "length together; unknown words: take another vocabulary",
                        percent=percent,
                        token=token,
                    )
                )
        return findings
