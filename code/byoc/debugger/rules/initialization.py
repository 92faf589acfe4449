"""PoorWeightInitialization: the first steps tell whether a network starts well."""

from __future__ import annotations

import math
import re
from statistics import median

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import TensorRule
from byoc.debugger.rules.gradients import GRADIENT_NAMES, GRADIENTS, NOT_MATRICES
from byoc.debugger.rules.losses import LOSSES
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save

WEIGHTS = ("weights",)
_PERCENTILE = re.compile(r"^percentile/(?P<at>\d+)/(?P<tensor>.*gradient.*)$")
"""``names.percentile`` of gradients."""
_ADVICE = (
    "initialize with the model's own scheme (transformers: standard deviation 0.02), scale by the "
    "layer's width, or start from pretrained weights"
)


class PoorWeightInitialization(TensorRule):
    """Fires when the first ``steps`` steps show a poor start.

    AWS: the ratio of the largest to the smallest variance of weights per layer is over
    ``threshold``; the 95th less the 5th percentile of gradients is under ``distribution_range``; or
    the loss has not fallen for ``patience`` steps. Its text speaks of activation inputs
    (``activation_inputs_regex``) and of weights in one breath, and does not say how the three go
    together.

    Chosen: any of the three is enough. The variances are those of the tensors that match
    ``activation_inputs_regex`` where the job saved some, else of the collection weights; a tensor
    without variance (a norm's ones, a bias of zeros) is no layer of the ratio. The smallest
    percentile range of all gradients counts: from whole tensors, or from the scalars
    ``percentile/5/…`` and ``percentile/95/…``. Steps are training steps from 0 on.

    recommended: only what stops a network from learning. The ``quantile`` of gradients' ranges
    (0.5: the median one) over weight matrices counts, not the smallest; and instead of a loss
    that does not fall in ten noisy steps, a first loss over ``loss_threshold`` (a sound start on
    C classes has ln C, 6.9 for a thousand).
    """

    needs = "the first steps' gradients (whole or percentiles), weights or activation inputs,"
    parameters = (
        Parameter(
            "activation_inputs_regex",
            p.patterns,
            ".*relu_input",
            r"(?i).*(relu|gelu|activation|act)(_fn)?_?input(_0)?$",
            "activation inputs whose variances are compared",
        ),
        Parameter("threshold", p.number(0), 10.0, 1e6, "ratio of largest to smallest variance"),
        Parameter("distribution_range", p.number(0), 0.001, 1e-10, "percentile range of gradients"),
        Parameter("patience", p.count(), 5, None, "steps in which the loss has not fallen"),
        Parameter("steps", p.count(), 10, text="so many first steps are looked at"),
        Parameter(
            "quantile", p.number(0, 1), 0.0, 0.5, "which of the gradients' ranges", ours=True
        ),
        Parameter("exclude_regex", p.patterns, None, NOT_MATRICES, "tensors left out", ours=True),
        Parameter("loss_threshold", p.number(0), None, 10.0, "a first loss over it", ours=True),
    )

    def start(self) -> None:
        self._lowest, self._lowest_step = math.inf, 0
        self._first_loss: float | None = None

    def check(self, save: Save) -> list[Finding] | None:
        if save.mode == ModeKeys.EVAL or save.mode_step >= self.p.steps:
            return None
        reasons = [self._variances(save), self._ranges(save), self._loss(save)]
        if all(reason is None for reason in reasons):
            return None
        return [
            self.finding(save, what, _ADVICE, **values)
            for reason in reasons
            if reason
            for what, values in [reason]
        ]

    def _variances(self, save: Save) -> tuple[str, dict[str, float]] | tuple[()] | None:
        chosen = self.pick(save, None, self.p.activation_inputs_regex)
        chosen = chosen or self.pick(save, WEIGHTS, None, self.p.exclude_regex)
        known = {name: save.reduction(name, "variance") for name in chosen}
        layers = {name: value for name, value in known.items() if value is not None and value > 0}
        if not layers:
            return None
        low, high = min(layers, key=layers.__getitem__), max(layers, key=layers.__getitem__)
        ratio = layers[high] / layers[low]
        if ratio <= self.p.threshold:
            return ()
        return (
            f"variances per layer differ by {ratio:.3g}: {layers[high]:.3g} in {high}, "
            f"{layers[low]:.3g} in {low}",
            {"ratio": ratio},
        )

    def _ranges(self, save: Save) -> tuple[str, dict[str, float]] | tuple[()] | None:
        ranges = percentile_ranges(self, save)
        if not ranges:
            return None
        values = sorted(ranges.values())
        chosen = (
            median(values)
            if self.p.quantile == 0.5
            else float(np.quantile(values, self.p.quantile))
        )
        if chosen >= self.p.distribution_range:
            return ()
        return (
            f"gradients spread over {chosen:.3g} (95th less 5th percentile, "
            f"{len(values)} gradients)",
            {"range": chosen},
        )

    def _loss(self, save: Save) -> tuple[str, dict[str, float]] | tuple[()] | None:
        losses = [save.scalar(name) for name in self.pick(save, LOSSES, None)]
        known = [loss for loss in losses if loss is not None]
        if not known:
            return None
        loss = sum(known) / len(known)
        if self._first_loss is None:
            self._first_loss = loss
            too_high = self.p.loss_threshold is not None and not loss <= self.p.loss_threshold
            if too_high:
                return f"the first loss is {loss:.4g}", {"loss": loss}
        if loss < self._lowest:
            self._lowest, self._lowest_step = loss, save.mode_step
        since = save.mode_step - self._lowest_step
        if self.p.patience is None or since < self.p.patience:
            return ()
        return (
            f"the loss has not fallen in {since} steps: {loss:.4g}",
            {"loss": loss, "since": since},
        )


def percentile_ranges(rule: PoorWeightInitialization, save: Save) -> dict[str, float]:
    """95th less 5th percentile of each gradient that was saved whole or as percentiles."""
    ranges = {}
    excluded = rule.p.exclude_regex
    for name in rule.pick(save, GRADIENTS, GRADIENT_NAMES, excluded):
        whole = save.whole(name)
        if whole is not None and whole.size:
            low, high = np.percentile(whole.astype(np.float64), (5, 95))
            ranges[name] = float(high - low)
    ends: dict[str, dict[str, float]] = {}
    for name in rule.pick(save, None, ("^percentile/",), excluded):
        match = _PERCENTILE.match(name)
        value = save.scalar(name)
        if match and value is not None:
            ends.setdefault(match["tensor"], {})[match["at"]] = value
    for tensor, at in ends.items():
        if tensor not in ranges and {"5", "95"} <= set(at):
            ranges[tensor] = at["95"] - at["5"]
    return ranges
