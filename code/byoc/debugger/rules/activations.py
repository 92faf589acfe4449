"""Rules over activations: DeadRelu, SaturatedActivation."""

from __future__ import annotations

import re

import numpy as np

from byoc.debugger import names
from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import COLLECTION_NAMES, TensorRule, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save

PERCENTILE = ("^percentile/",)
"""Scalars of ours that carry an activation's name in theirs."""

LOWEST = 5
"""Of the percentiles that are saved."""

_INACTIVITY = Parameter(
    "threshold_inactivity", p.percentage, 1.0, text="per cent of a node's values: active under it"
)
_LAYER = Parameter("threshold_layer", p.percentage, 50.0, text="per cent of a layer's nodes")


class NodeRule(TensorRule):
    """A layer's nodes are the last axis of its tensor; all other axes are samples of them."""

    def inactive(self, active: np.ndarray) -> float:
        """Per cent of the nodes that are active in less than ``threshold_inactivity`` per cent."""
        nodes = active.reshape(-1, active.shape[-1]) if active.ndim else active.reshape(1, 1)
        return 100 * float(np.mean(100 * nodes.mean(axis=0) < self.p.threshold_inactivity))

    def judge(self, save: Save, shares: dict[str, float], what: str, advice: str) -> list[Finding]:
        bad = {name: share for name, share in shares.items() if share > self.p.threshold_layer}
        if not bad:
            return []
        name = max(bad, key=bad.__getitem__)
        text = f"{bad[name]:.3g}% of the nodes of {name} are {what}"
        more = f"; {len(bad)} of {len(shares)} layers" if len(bad) > 1 else ""
        return [
            self.finding(save, text + more, advice, tensor=name, percent=bad[name], layers=len(bad))
        ]


class DeadRelu(NodeRule):
    """Fires when over ``threshold_layer`` per cent of a layer's ReLUs are dead.

    AWS: a ReLU is dead when it is active less than ``threshold_inactivity`` (per cent).

    Chosen: active is a value over zero; a ReLU is one node of the layer's last axis, and its
    activity the share of the step's other axes (rows, positions) in which it is active. From
    reductions and percentiles only a layer that is dead as a whole can be told: no value is over
    zero, or not one in twenty (``percentile/95/…``).

    recommended: also the names that smdebug's hook gives PyTorch's modules.
    """

    needs = "ReLU outputs, whole or with max,"
    parameters = (
        tensor_regex(".*relu_output", r"(?i).*relu[\w.]*_output(_\d+)?$"),
        _INACTIVITY,
        _LAYER,
    )

    def check(self, save: Save) -> list[Finding] | None:
        shares = {}
        for name in self.pick(save, None, self.p.tensor_regex, PERCENTILE):
            whole = save.whole(name)
            highest = save.scalar(names.percentile(name, 95))
            if highest is None:
                highest = save.reduction(name, "max")
            if whole is not None:
                shares[name] = self.inactive(whole > 0)
            elif highest is not None:
                shares[name] = 100.0 if highest <= 0 else 0.0
        if not shares:
            return None
        advice = "lower the learning rate, or use LeakyReLU or GELU"
        return self.judge(save, shares, "dead ReLUs", advice)


class SaturatedActivation(NodeRule):
    """Fires when over ``threshold_layer`` per cent of a layer's tanh or sigmoid nodes are
    saturated.

    AWS: a value is saturated outside ``threshold_tanh`` or ``threshold_sigmoid`` (min, max of the
    activation's input, from a vanishing gradient of 1e-7); a node whose activity drops under
    ``threshold_inactivity`` per cent is saturated.

    Chosen: a node's activity is the share of its values inside the bounds. From reductions and
    percentiles the share of values that must lie outside stands for that of the nodes: with the
    30th under the lower bound and the 70th over the upper one it is 60%; with min and max inside,
    or the 5th and 95th, a layer is not saturated; otherwise nothing can be told.

    recommended: also the names that smdebug's hook gives PyTorch's modules, and BERT's pooler.
    """

    needs = "inputs of tanh or sigmoid, whole or with min and max,"
    parameters = (
        COLLECTION_NAMES,
        tensor_regex(
            ".*tanh_input,.*sigmoid_input",
            r"(?i).*(tanh|sigmoid)[\w.]*_input(_\d+)?$,.*pooler\.activation_input(_\d+)?$",
        ),
        Parameter("threshold_tanh", p.bounds, (-9.4999, 9.4999), text="inputs of tanh"),
        Parameter("threshold_sigmoid", p.bounds, (-23.0, 16.99999), text="inputs of sigmoid"),
        _INACTIVITY,
        _LAYER,
    )

    def check(self, save: Save) -> list[Finding] | None:
        shares = {}
        for name in self.pick(save, self.p.collection_names, self.p.tensor_regex, PERCENTILE):
            is_sigmoid = re.search("(?i)sigmoid", name) is not None
            bounds = self.p.threshold_sigmoid if is_sigmoid else self.p.threshold_tanh
            whole = save.whole(name)
            if whole is not None:
                shares[name] = self.inactive((whole > bounds[0]) & (whole < bounds[1]))
            elif (share := _saturated(save, name, *bounds)) is not None:
                shares[name] = share
        if not shares:
            return None
        advice = "normalize the inputs, lower the learning rate, or initialize smaller"
        return self.judge(save, shares, "saturated", advice)


def _saturated(save: Save, name: str, low: float, high: float) -> float | None:
    """Per cent of the values that must be saturated: 0 where the ends show that none is, or the
    percentiles that at most one in ten; None where neither tells."""
    ends = {0: save.reduction(name, "min"), 100: save.reduction(name, "max")}
    at = {p: save.scalar(names.percentile(name, p)) for p in names.ACTIVATION_PERCENTS} | ends
    known = {percent: value for percent, value in at.items() if value is not None}
    under = max((percent for percent, value in known.items() if value <= low), default=0)
    over = 100 - min((percent for percent, value in known.items() if value >= high), default=100)
    share = float(min(100, under + over))
    if share:
        return share
    inside = [percent for percent, value in known.items() if low < value < high]
    return 0.0 if inside and min(inside) <= LOWEST and max(inside) >= 100 - LOWEST else None
