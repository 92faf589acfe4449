"""Rules over weights and other tensors' values: WeightUpdateRatio, AllZero, TensorVariance,
UnchangedTensor.
"""

from __future__ import annotations

import math
import re
from collections import deque
from statistics import median

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger import names
from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import COLLECTION_NAMES, TensorRule, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Reductions, Save

WEIGHTS = ("weights",)
UPDATE = names.update_ratio("")
MATRICES = r"^(gradient/)?(?!.*(lora_|percentile/|update_ratio/)).*weight$"
"""Weight matrices and their gradients; LoRA's B starts at zero on purpose."""


class Chosen(TensorRule):
    """A rule over ``collection_names`` and ``tensor_regex``, one of which AWS wants given."""

    def chosen(self, save: Save) -> list[str]:
        return self.pick(save, self.p.collection_names, self.p.tensor_regex)

    def unmet(self) -> str:
        if not (self.p.collection_names or self.p.tensor_regex):
            return "give collection_names or tensor_regex"
        return f"{self.needs} not saved"


class WeightUpdateRatio(TensorRule):
    """Fires when weights move too much, or too little, for their size.

    AWS: the ratio of updates to weights is over ``large_threshold`` or under ``small_threshold``;
    ``num_steps`` bounds how far apart the compared saves may be; ``epsilon`` keeps the division
    from zero. It wants weights of consecutive steps, so ``save_interval`` 1.

    Chosen: the ratio is the standard deviation of the change over that of the weights. The hook's
    scalars ``update_ratio/…`` give it for any save interval; without them whole weights of two
    saves are compared, at most ``num_steps`` apart when that is given. TRAIN saves, else GLOBAL
    ones.

    recommended: the median over all weights counts, ``patience`` saves in a row: a bias that starts
    at zero, or the first step of a warm-up, says nothing.
    """

    needs = "update ratios, or whole weights of two saves,"
    parameters = (
        Parameter("num_steps", p.count(), None, text="steps that two saves may be apart"),
        Parameter("large_threshold", p.number(0), 10.0, 1.0, "ratio over which"),
        Parameter("small_threshold", p.number(0), 1e-8, 1e-9, "ratio under which"),
        Parameter("epsilon", p.number(0), 1e-9, text="added to the weights"),
        Parameter(
            "by_median", p.boolean, False, True, "the median tensor counts, not each", ours=True
        ),
        Parameter("patience", p.count(), 1, 3, "saves in a row", ours=True),
    )

    def start(self) -> None:
        self._before: dict[str, tuple[int, np.ndarray]] = {}
        self._in_a_row: dict[str, int] = {}

    def check(self, save: Save) -> list[Finding] | None:
        if save.mode not in (ModeKeys.TRAIN, ModeKeys.GLOBAL):
            return None
        ratios = self._saved_ratios(save) or self._own_ratios(save)
        ratios = {name: ratio for name, ratio in ratios.items() if ratio == ratio}
        if not ratios:
            return None
        if self.p.by_median:
            ratios = {"the median weight": median(ratios.values())}
        found = []
        for name, ratio in ratios.items():
            is_bad = ratio > self.p.large_threshold or ratio < self.p.small_threshold
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if is_bad else 0
            if self._in_a_row[name] >= self.p.patience:
                found.append((name, ratio))
        if not found:
            return []
        name, ratio = max(found, key=lambda each: abs(math.log10(each[1] + 1e-300)))
        large = ratio > self.p.large_threshold
        return [
            self.finding(
                save,
                f"{name} moves by {ratio:.3g} of its size in a step"
                + (f", and {len(found) - 1} more" if len(found) > 1 else ""),
                "lower the learning rate" if large else "raise the learning rate, or unfreeze it",
                tensor=name,
                ratio=ratio,
                tensors=len(found),
            )
        ]

    def _saved_ratios(self, save: Save) -> dict[str, float]:
        found = {n: save.scalar(n) for n in self.pick(save, None, (f"^{re.escape(UPDATE)}",))}
        return {n.removeprefix(UPDATE): ratio for n, ratio in found.items() if ratio is not None}

    def _own_ratios(self, save: Save) -> dict[str, float]:
        ratios = {}
        for name in self.pick(save, WEIGHTS, None):
            now = save.whole(name)
            if now is None:
                continue
            before = self._before.get(name)
            self._before[name] = (save.mode_step, np.array(now, dtype=np.float64))
            if before is None or before[1].shape != now.shape:
                continue
            if self.p.num_steps and save.mode_step - before[0] > self.p.num_steps:
                continue
            change = float(np.std(now - before[1]))
            ratios[name] = change / (float(np.std(before[1])) + self.p.epsilon)
        return ratios


class AllZero(Chosen):
    """Fires when a tensor's values are zero, or ``threshold`` per cent of them.

    AWS: as said; ``collection_names`` or ``tensor_regex`` must be given.

    Chosen: reductions can only tell that all are zero (min and max, or l2 or abs max, are zero).

    recommended: weight matrices and their gradients.
    """

    needs = "the chosen tensors, whole or with min and max,"
    parameters = (
        COLLECTION_NAMES,
        tensor_regex(None, MATRICES),
        Parameter("threshold", p.percentage, 100.0, text="per cent of a tensor's values"),
    )

    def check(self, save: Save) -> list[Finding] | None:
        shares = {name: self._zeros(save, name) for name in self.chosen(save)}
        known = {name: share for name, share in shares.items() if share is not None}
        if not known:
            return None
        bad = sorted(name for name, share in known.items() if share >= self.p.threshold)
        if not bad:
            return []
        return [
            self.finding(
                save,
                f"{len(bad)} of {len(known)} tensors are zero to {known[bad[0]]:.3g}% or more; "
                f"{bad[0]}",
                "look at the initialization, at layers that no gradient reaches, and with fp16 at "
                "the loss scale",
                tensor=bad[0],
                percent=known[bad[0]],
                tensors=len(bad),
            )
        ]

    def _zeros(self, save: Save, name: str) -> float | None:
        whole = save.whole(name)
        if whole is not None:
            return 100 * float(np.mean(whole == 0)) if whole.size else None
        saved = save.reductions.get(name, {})
        for largest in (("l2", False), ("max", True), ("mean", True), ("l1", False)):
            if largest in saved:
                return 100.0 if saved[largest] == 0 else 0.0
        ends = saved.get(("min", False)), saved.get(("max", False))
        if None in ends:
            return None
        return 100.0 if ends == (0, 0) else 0.0


class TensorVariance(Chosen):
    """Fires when a tensor's variance is over ``max_threshold`` or under ``min_threshold``.

    AWS: as said; both are unset by default, and ``collection_names`` or ``tensor_regex`` must be
    given.

    recommended: weight matrices, at most 25: PyTorch's widest initialization (an embedding's) has
    1.
    """

    needs = "the chosen tensors, whole or with variance or std,"
    parameters = (
        COLLECTION_NAMES,
        tensor_regex(None, r"^(?!.*(gradient/|percentile/|update_ratio/)).*weight$"),
        Parameter("max_threshold", p.number(0), None, 25.0, "variance over which"),
        Parameter("min_threshold", p.number(0), None, text="variance under which"),
    )

    def unmet(self) -> str:
        if self.p.max_threshold is None and self.p.min_threshold is None:
            return "give max_threshold or min_threshold"
        return super().unmet()

    def check(self, save: Save) -> list[Finding] | None:
        if self.p.max_threshold is None and self.p.min_threshold is None:
            return None
        shares = {name: save.reduction(name, "variance") for name in self.chosen(save)}
        known = {name: variance for name, variance in shares.items() if variance is not None}
        if not known:
            return None
        bad = [(name, variance) for name, variance in known.items() if self._is_bad(variance)]
        if not bad:
            return []
        name, variance = max(bad, key=lambda each: each[1])
        return [
            self.finding(
                save,
                f"variance {variance:.3g} in {name}"
                + (f", and {len(bad) - 1} more such tensors" if len(bad) > 1 else ""),
                "such values saturate activations or starve them: look at initialization, learning "
                "rate and normalization",
                tensor=name,
                variance=variance,
                tensors=len(bad),
            )
        ]

    def _is_bad(self, variance: float) -> bool:
        if self.p.max_threshold is not None and variance > self.p.max_threshold:
            return True
        return self.p.min_threshold is not None and variance < self.p.min_threshold


TRAINED = (
    r"^(?!.*(gradient/|percentile/|update_ratio/))"
    r"(?!base_model\.model\.(?!.*(lora_|modules_to_save))).*weight$"
)
"""Weights, of peft's models those that it trains."""


class UnchangedTensor(Chosen):
    """Fires when a tensor has been the same in the last ``num_steps`` saves.

    AWS: numpy's allclose with ``rtol``, ``atol`` and ``equal_nan`` over the last ``num_steps``
    saved steps, which need not be consecutive; ``collection_names`` or ``tensor_regex`` must be
    given.

    Chosen: each of these saves is compared with the newest. Where only reductions were saved, a
    tensor is unchanged when all its reductions are.

    recommended: weights of any kind, five saves, and equal to the last bit: after the small steps
    of a warm-up, reductions are close to each other and yet have moved.
    """

    needs = "the chosen tensors, whole or as reductions,"
    parameters = (
        COLLECTION_NAMES,
        tensor_regex(None, TRAINED),
        Parameter("num_steps", p.count(2), 3, 5, "saves that are compared"),
        Parameter("rtol", p.number(0), 1e-5, 0.0, "relative tolerance"),
        Parameter("atol", p.number(0), 1e-8, 0.0, "absolute tolerance"),
        Parameter("equal_nan", p.boolean, False, text="NaN equals NaN"),
    )

    def start(self) -> None:
        self._seen: dict[str, deque[np.ndarray | Reductions]] = {}

    def check(self, save: Save) -> list[Finding] | None:
        if save.mode == ModeKeys.EVAL:
            return None
        chosen = self.chosen(save)
        same = []
        for name in chosen:
            seen = self._seen.setdefault(name, deque(maxlen=self.p.num_steps))
            seen.append(self._value(save, name))
            # The oldest first: what changes has moved furthest from it.
            if len(seen) == self.p.num_steps and all(self._equal(seen[-1], each) for each in seen):
                same.append(name)
        if not chosen:
            return None
        if not same:
            return []
        return [
            self.finding(
                save,
                f"{len(same)} of {len(chosen)} tensors have not changed in {self.p.num_steps} "
                f"saves; {same[0]}",
                "frozen, out of the optimizer, or with no gradient: leave it out by tensor_regex "
                "if that is meant",
                tensor=same[0],
                tensors=len(same),
            )
        ]

    def _value(self, save: Save, name: str) -> np.ndarray | Reductions:
        whole = save.whole(name)
        return save.reductions.get(name, {}) if whole is None else np.array(whole)

    def _equal(self, newest: np.ndarray | Reductions, other: np.ndarray | Reductions) -> bool:
        if isinstance(newest, dict) or isinstance(other, dict):
            return (
                isinstance(newest, dict)
                and isinstance(other, dict)
                and newest.keys() == other.keys()
                and all(self._close(value, other[key]) for key, value in newest.items())
            )
        if newest.shape != other.shape:
            return False
        if newest.dtype.kind not in "fciub":
            return bool(np.array_equal(newest, other))
        return bool(np.allclose(other, newest, self.p.rtol, self.p.atol, self.p.equal_nan))

    def _close(self, newest: float, other: float) -> bool:
        """numpy's isclose for two numbers, without its cost."""
        if math.isnan(newest) and math.isnan(other):
            return bool(self.p.equal_nan)
        if math.isinf(newest) or math.isinf(other):
            return newest == other
        return bool(abs(other - newest) <= self.p.atol + self.p.rtol * abs(newest))
