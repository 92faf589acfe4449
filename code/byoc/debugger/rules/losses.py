"""Rules over losses: LossNotDecreasing, and what the others share."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from smdebug.core.modes import ModeKeys

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import COLLECTION_NAMES, TensorRule, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save

LOSSES = ("losses",)


class LossRule(TensorRule):
    needs = "losses (collection losses, or tensor_regex)"

    def losses(self, save: Save) -> dict[str, float]:
        """By tensor name. A loss that came for each row is its mean."""
        collections = list(self.values.get("collection_names") or ())
        regex = self.values.get("tensor_regex")
        if self.values.get("use_losses_collection", not (collections or regex)):
            collections += LOSSES
        found = {name: save.scalar(name) for name in self.pick(save, collections, regex)}
        return {name: value for name, value in found.items() if value is not None}


@dataclass
class _History:
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    checked: int = -1


class LossNotDecreasing(LossRule):
    """Fires when the loss has not become lower.

    AWS: every ``num_steps`` steps the loss is compared with the newest saved one that is at least
    ``num_steps`` steps older; it must be lower by ``diff_percent`` per cent.
    ``increase_threshold_percent`` is the most that a rising loss may have risen. Mode, when
    not given: EVAL, then TRAIN, then GLOBAL, the first in which a loss has been saved.

    Chosen: the first check is due ``num_steps`` steps after the job's start (with a save every 3
    steps at 9, 21, 33, as in AWS's example); an equal loss is not lower; NaN is not lower;
    ``increase_threshold_percent`` parts a loss that rises from one that stands still, in what the
    finding says. Each loss tensor counts for itself.

    recommended: one batch's loss against another's is mostly chance, so the mean of the newest
    ``saves`` losses is compared with the mean of the first ten, and must be lower by
    ``diff_percent`` per cent or by two standard errors of the difference. Only TRAIN: validation
    may stand still in a healthy fine-tuning. The end of the job is a check too.
    """

    parameters = (
        COLLECTION_NAMES,
        tensor_regex(),
        Parameter(
            "use_losses_collection", p.boolean, True, text="look at the collection losses too"
        ),
        Parameter("num_steps", p.count(), 10, 500, "steps between two checks"),
        Parameter(
            "diff_percent", p.number(0, 100, within=True), 0.1, 10.0, "by how much it must fall"
        ),
        Parameter(
            "increase_threshold_percent",
            p.number(0, 100, within=True),
            5.0,
            text="over it the finding speaks of a rise",
        ),
        Parameter("mode", p.mode, None, "TRAIN", "whose losses"),
        Parameter(
            "saves",
            p.count(0),
            0,
            20,
            "compare means of so many losses with the first ten; 0: single ones",
            ours=True,
        ),
    )
    FIRST = 10
    LEAST = 25
    """Saved losses that means need at least."""

    def start(self) -> None:
        self._histories: dict[tuple[ModeKeys, str], _History] = {}
        self._last: dict[tuple[ModeKeys, str], Save] = {}

    def check(self, save: Save) -> list[Finding] | None:
        losses = self.losses(save)
        if not losses or not self._is_wanted(save.mode):
            return None
        found = []
        for name, loss in losses.items():
            history = self._histories.setdefault((save.mode, name), _History())
            history.steps.append(save.mode_step)
            history.losses.append(loss)
            self._last[(save.mode, name)] = save
            if save.mode_step - history.checked < self.p.num_steps:
                continue
            history.checked = save.mode_step
            found += self._compare(save, name, history)
        return found

    def finish(self) -> list[Finding]:
        if not self.p.saves:
            return []
        found = []
        for key, history in self._histories.items():
            save = self._last[key]
            if self._is_wanted(save.mode) and history.checked != save.mode_step:
                found += self._compare(save, key[1], history)
        return found

    def _is_wanted(self, mode: ModeKeys) -> bool:
        if self.p.mode is not None:
            return bool(self.p.mode in ("GLOBAL", mode.name))
        seen = {known for known, _ in self._histories} | {mode}
        for first in (ModeKeys.EVAL, ModeKeys.TRAIN):
            if first in seen:
                return bool(mode == first)
        return True

    def _compare(self, save: Save, name: str, history: _History) -> list[Finding]:
        if self.p.saves:
            return self._compare_means(save, name, history)
        at = bisect_right(history.steps, save.mode_step - self.p.num_steps) - 1
        if at < 0:
            return []
        return self._judge(
            save, name, history.losses[at], history.losses[-1], f"at step {history.steps[at]}", 0.0
        )

    def _compare_means(self, save: Save, name: str, history: _History) -> list[Finding]:
        if len(history.losses) < self.LEAST:
            return []
        first = history.losses[: self.FIRST]
        newest = history.losses[self.FIRST :][-self.p.saves :]
        spread = math.sqrt(variance(first) / len(first) + variance(newest) / len(newest))
        return self._judge(
            save, name, mean(first), mean(newest), f"in the first {len(first)} saves", 2 * spread
        )

    def _judge(
        self, save: Save, name: str, before: float, now: float, when: str, chance: float
    ) -> list[Finding]:
        lower = before - now
        wanted = abs(before) * self.p.diff_percent / 100
        if chance:
            wanted = min(wanted, chance)
        if lower > 0 and lower >= wanted:
            return []
        change = 100 * (now - before) / abs(before) if before else 0.0
        rises = change > self.p.increase_threshold_percent or now != now
        verb = "rises" if rises else "does not fall"
        return [
            self.finding(
                save,
                f"{name} {verb}: {now:.4g} at step {save.mode_step}, {before:.4g} {when}",
                "lower the learning rate, or look for broken labels and inputs"
                if rises
                else "raise the learning rate, or look whether the labels say anything of the text",
                tensor=name,
                loss=now,
                before=before,
                change_percent=change,
            )
        ]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    middle = mean(values)
    return sum((value - middle) ** 2 for value in values) / max(len(values) - 1, 1)
