"""Rules over whole validation passes: Overfit, Overtraining."""

from __future__ import annotations

import math
from dataclasses import dataclass

from smdebug.core.modes import ModeKeys

from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import tensor_regex
from byoc.debugger.rules.losses import LossRule, mean, variance
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save


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
        self.last_pass: list[float] = []
        self._newest: Save | None = None

    def check(self, save: Save) -> list[Finding] | None:
        losses = list(self.losses(save).values())
        if not losses or save.mode not in (ModeKeys.TRAIN, ModeKeys.EVAL):
            return None
        loss = mean(losses)
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
        self.last_pass, self._validation = self._validation, []
        return self.passed(self._newest, mean(self.last_pass))

    def training_mean(self) -> float | None:
        losses = self._training or self._last_training
        return mean(losses) if losses else None

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
        return self._judge(save, mean(self._validation))

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

    recommended: whole validation passes are counted, not single batches, and those since the best
    must lie above it by two standard errors together (with the default intervals two batches of a
    pass are saved, and of many such passes one is low by chance). Training loss alone
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
        self._since_best: list[list[float]] = []

    def judges_training(self) -> bool:
        return self.p.patience_train is not None

    def trained(self, save: Save, loss: float) -> list[Finding]:
        if self.p.patience_train is None:
            return []
        return self._judge(save, loss, self._training_best, self.p.patience_train, "training")

    def validated(self, save: Save, loss: float) -> list[Finding]:
        return [] if self.p.by_pass else self._judge_validation(save, loss)

    def passed(self, save: Save, loss: float) -> list[Finding]:
        if not self.p.by_pass:
            return []
        found = self._judge_validation(save, loss)
        if self._validation_best.since == 0:
            self._since_best = []
        self._since_best.append(self.last_pass)
        return found if self._is_beyond_chance() else []

    def _is_beyond_chance(self) -> bool:
        """Whether the passes since the best one are above it by two standard errors."""
        best, *later = self._since_best
        after = [loss for each in later for loss in each]
        if not after:
            return False
        freedom = len(best) + len(after) - len(self._since_best)
        squares = sum(variance(each) * (len(each) - 1) for each in self._since_best)
        spread = math.sqrt(squares / max(freedom, 1) * (1 / len(best) + 1 / len(after)))
        return mean(after) - mean(best) > 2 * spread

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
