"""Rules over gradients and values that leave the numbers: VanishingGradient, ExplodingTensor."""

from __future__ import annotations

import math

import numpy as np

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import COLLECTION_NAMES, TensorRule, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save

GRADIENTS = ("gradients",)
GRADIENT_NAMES = ("^gradient/",)
"""As smdebug's hook names them: they count where the collections file is missing too."""
NOT_MATRICES = (r"bias$", r"(?i)layer_?norm", r"(?i)embedding")
"""Their gradients are small by nature: a key's bias has none at all, most rows of an embedding are
not in a batch."""


class VanishingGradient(TensorRule):
    """Fires when gradients have become so small that their layers no longer learn.

    AWS: the mean of a gradient's absolute values is under ``threshold``.

    Chosen: each gradient tensor counts for itself, at each saved step.

    recommended: only weight matrices, not biases, norms and embeddings; their mean must also be
    under ``share`` of the step's largest, unless that one has vanished too (late in a healthy
    training all gradients are small together); ``patience`` saves in a row.
    """

    needs = "gradients, whole or with the reduction abs mean,"
    parameters = (
        Parameter("threshold", p.number(0), 1e-7, text="mean of absolute values under which"),
        Parameter("share", p.number(0, 1), 1.0, 1e-3, "of the step's largest gradient", ours=True),
        Parameter("patience", p.count(), 1, 3, "saves in a row", ours=True),
        Parameter("exclude_regex", p.patterns, None, NOT_MATRICES, "gradients left out", ours=True),
    )

    def start(self) -> None:
        self._in_a_row: dict[str, int] = {}

    def check(self, save: Save) -> list[Finding] | None:
        names = self.pick(save, GRADIENTS, GRADIENT_NAMES, self.p.exclude_regex)
        means = {name: save.reduction(name, "mean", absolute=True) for name in names}
        known = {name: mean for name, mean in means.items() if mean is not None}
        if not known:
            return None
        largest = max(known.values())
        bound = largest * self.p.share if largest >= self.p.threshold else math.inf
        found = []
        for name, mean in known.items():
            small = mean < self.p.threshold and mean <= bound
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if small else 0
            if self._in_a_row[name] >= self.p.patience:
                found.append((mean, name))
        if not found:
            return []
        mean, name = min(found)
        return [
            self.finding(
                save,
                f"{len(found)} of {len(known)} gradients have vanished; {name}: mean of absolute "
                f"values {mean:.3g}",
                "the layers there no longer learn: use residual connections, normalization, "
                "another activation or initialization; with fp16, look at the loss scale",
                tensor=name,
                mean=mean,
                largest=largest,
                vanished=len(found),
            )
        ]


class ExplodingTensor(TensorRule):
    """Fires when a tensor holds infinity or NaN.

    AWS: any tensor of the given collections or patterns, or of all when none are given;
    ``only_nan``: infinity does not count.

    Chosen: where only reductions were saved, any reduction that is not finite counts (min, max and
    mean of a tensor with NaN are NaN).

    recommended: a gradient must be so in ``gradient_patience`` saves in a row: mixed precision
    finds its loss scale by overflowing, and skips those steps. In the job's last save once is
    enough: no later one tells whether the step was skipped, or was the last before a loss of NaN
    ended the job.
    """

    needs = "tensors"
    parameters = (
        COLLECTION_NAMES,
        tensor_regex(),
        Parameter("only_nan", p.boolean, False, text="infinity does not count"),
        Parameter("gradient_patience", p.count(), 1, 3, "saves in a row, of gradients", ours=True),
    )

    def start(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._unsaid: tuple[Save, list[str], int] | None = None

    def check(self, save: Save) -> list[Finding] | None:
        everything = not (self.p.collection_names or self.p.tensor_regex)
        regex = ("",) if everything else self.p.tensor_regex
        names = self.pick(save, self.p.collection_names, regex)
        if not names:
            return None
        bad: list[str] = []
        early: list[str] = []
        for name in names:
            if not self._is_bad(save, name):
                self._in_a_row[name] = 0
                continue
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
            patience = self.p.gradient_patience if "gradient" in name else 1
            (bad if self._in_a_row[name] >= patience else early).append(name)
        self._unsaid = (save, early, len(names)) if early and not bad else None
        return [self._said(save, bad, len(names))] if bad else []

    def finish(self) -> list[Finding]:
        if self._unsaid is None:
            return []
        return [self._said(*self._unsaid)]

    def _said(self, save: Save, bad: list[str], of: int) -> Finding:
        kind = "NaN" if self.p.only_nan else "NaN or infinity"
        return self.finding(
            save,
            f"{len(bad)} of {of} tensors hold {kind}; the first is {bad[0]}",
            "lower the learning rate, clip gradients, or train in bf16 or fp32 instead of fp16",
            tensor=bad[0],
            tensors=len(bad),
        )

    def _is_bad(self, save: Save, name: str) -> bool:
        whole = save.whole(name)
        if whole is None:
            values = save.reductions.get(name, {}).values()
            if math.isfinite(sum(values)):  # as nearly always
                return False
            bad = math.isnan if self.p.only_nan else _is_not_finite
            return any(bad(value) for value in values)
        if whole.dtype.kind not in "fc":
            return False
        return bool(np.isnan(whole).any() if self.p.only_nan else not np.isfinite(whole).all())


def _is_not_finite(value: float) -> bool:
    return not math.isfinite(value)
