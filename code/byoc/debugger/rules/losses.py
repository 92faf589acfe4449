"""Rules over losses: LossNotDecreasing, Overfit, Overtraining."""

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
    ``increase_threshold_percent`` bounds an increase "in case loss has been increasing". Mode, when
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
        Parameter("num_steps", p.count(), 10, 300, "steps between two checks"),
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
        spread = math.sqrt(_variance(first) / len(first) + _variance(newest) / len(newest))
        return self._judge(
            save, name, _mean(first), _mean(newest), f"in the first {len(first)} saves", 2 * spread
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)


class PassRule(LossRule):
    """Keeps the mean loss of each validation pass, and of training between two passes.

    A pass is a run of EVAL saves with no TRAIN save between them; it is over when training goes on
    or the job ends.
    """

    needs = "losses of both TRAIN and EVAL"

    def start(self) -> None:
        self._training: list[float] = []
        self._last_training: list[float] = []
        self._validation: list[float] = []
        self._newest: Save | None = None

    def check(self, save: Save) -> list[Finding] | None:
        losses = list(self.losses(save).values())
        if not losses or save.mode not in (ModeKeys.TRAIN, ModeKeys.EVAL):
            return None
        loss = _mean(losses)
        if save.mode == ModeKeys.TRAIN:
            found = self._end_pass()
            self._training.append(loss)
            found += self.trained(save, loss)
            return found if self.judges_training() else found or None
        if self._training:
            self._last_training, self._training = self._training, []
        self._validation.append(loss)
        self._newest = save
        return self.validated(save, loss)

    def finish(self) -> list[Finding]:
        return self._end_pass()

    def _end_pass(self) -> list[Finding]:
        if not self._validation or self._newest is None:
            return []
        mean, self._validation = _mean(self._validation), []
        return self.passed(self._newest, mean)

    def training_mean(self) -> float | None:
        losses = self._training or self._last_training
        return _mean(losses) if losses else None

    def judges_training(self) -> bool:
        return False

    def trained(self, _save: Save, _loss: float) -> list[Finding]:
        return []

    def validated(self, _save: Save, _loss: float) -> list[Finding]:
        return []

    def passed(self, _save: Save, _loss: float) -> list[Finding]:
        return []


class Overfit(PassRule):
    """Fires when validation loss is far above training loss.

    AWS: (mean validation loss - mean training loss) / mean training loss over ``ratio_threshold``
    for ``patience`` steps, from ``start_step`` on.

    Chosen: the training mean is over the losses saved between the last two validation passes, the
    validation mean over the current pass so far; a step is a saved EVAL step, and the ``patience``
    of them must follow one another. ``start_step`` counts in EVAL steps.

    recommended: judged once a whole pass (so ``patience`` counts passes), and the pass's loss must
    also lie ``rise_threshold`` above the lowest pass: fine-tuning drives training loss towards zero
    while the model still gets better, and then only a rise tells.
    """

    parameters = (
        tensor_regex(),
        Parameter("start_step", p.count(0), 0, text="EVAL step from which on it looks"),
        Parameter("patience", p.count(), 1, 2, "how often in a row"),
        Parameter("ratio_threshold", p.number(0), 0.1, 1.0, "validation over training loss"),
        Parameter(
            "rise_threshold",
            p.number(0),
            None,
            0.4,
            "rise over the lowest validation pass; unset: no pass, each step",
            ours=True,
        ),
    )

    def start(self) -> None:
        super().start()
        self._in_a_row = 0
        self._lowest = math.inf

    def validated(self, save: Save, _loss: float) -> list[Finding]:
        if self.p.rise_threshold is not None:
            return []
        return self._judge(save, _mean(self._validation))

    def passed(self, save: Save, loss: float) -> list[Finding]:
        if self.p.rise_threshold is None:
            return []
        self._lowest = min(self._lowest, loss)
        if loss <= self._lowest * (1 + self.p.rise_threshold):
            self._in_a_row = 0
            return []
        return self._judge(save, loss)

    def _judge(self, save: Save, validation: float) -> list[Finding]:
        training = self.training_mean()
        if training is None or save.mode_step < self.p.start_step:
            return []
        ratio = (validation - training) / training if training > 0 else math.inf
        self._in_a_row = self._in_a_row + 1 if ratio > self.p.ratio_threshold else 0
        if self._in_a_row < self.p.patience:
            return []
        return [
            self.finding(
                save,
                f"validation loss {validation:.4g} is {1 + ratio:.3g} times the training loss "
                f"{training:.4g}",
                "train for fewer epochs, with more data, or with more weight decay or dropout; "
                "keep the best checkpoint",
                validation_loss=validation,
                training_loss=training,
                ratio=ratio,
            )
        ]


@dataclass
class _Best:
    """The lowest loss, and how many have come since."""

    loss: float = math.inf
    since: int = 0

    def add(self, loss: float, delta: float) -> None:
        if loss < self.loss - delta or self.loss == math.inf:
            self.loss, self.since = loss, 0
        else:
            self.since += 1


class Overtraining(PassRule):
    """Fires when training goes on although the loss has stopped improving.

    AWS: the training loss has not improved by ``delta`` in ``patience_train`` steps, or the
    validation loss in ``patience_validation``; how the two go together is left open.

    Chosen: either is enough, each counted in its own mode's saved steps.

    recommended: whole validation passes are counted, not single batches, and training loss alone
    (``patience_train`` unset) never fires: it says nothing of over-training.
    """

    parameters = (
        Parameter("patience_train", p.count(), 5, None, "saved training losses without a new low"),
        Parameter("patience_validation", p.count(), 10, 5, "validation losses without a new low"),
        Parameter("delta", p.number(0), 0.01, text="an improvement is at least this much"),
        Parameter(
            "by_pass", p.boolean, False, True, "count whole validation passes, not steps", ours=True
        ),
    )

    def start(self) -> None:
        super().start()
        self._training_best, self._validation_best = _Best(), _Best()

    def judges_training(self) -> bool:
        return self.p.patience_train is not None

    def trained(self, save: Save, loss: float) -> list[Finding]:
        if self.p.patience_train is None:
            return []
        return self._judge(save, loss, self._training_best, self.p.patience_train, "training")

    def validated(self, save: Save, loss: float) -> list[Finding]:
        return [] if self.p.by_pass else self._judge_validation(save, loss)

    def passed(self, save: Save, loss: float) -> list[Finding]:
        return self._judge_validation(save, loss) if self.p.by_pass else []

    def _judge_validation(self, save: Save, loss: float) -> list[Finding]:
        if self.p.patience_validation is None:
            return []
        return self._judge(
            save, loss, self._validation_best, self.p.patience_validation, "validation"
        )

    def _judge(
        self, save: Save, loss: float, best: _Best, patience: int, which: str
    ) -> list[Finding]:
        best.add(loss, self.p.delta)
        if best.since < patience:
            return []
        unit = "passes" if self.p.by_pass else "saved steps"
        return [
            self.finding(
                save,
                f"{which} loss has not gone under {best.loss:.4g} in {best.since} {unit}",
                "stop earlier: the best model is behind",
                loss=loss,
                best=best.loss,
                since=best.since,
            )
        ]
