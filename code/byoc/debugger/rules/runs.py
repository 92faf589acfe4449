"""Rules over a job as a whole: SimilarAcrossRuns, StalledTrainingRule."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from byoc.debugger.events import saves
from byoc.debugger.findings import Finding
from byoc.debugger.rules import parameters as p
from byoc.debugger.rules.base import COLLECTION_NAMES, TensorRule, save_of, tensor_regex
from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.save import Save
from byoc.debugger.trial import SavedTrial


class SimilarAcrossRuns(TensorRule):
    """Fires when a tensor is not the same as in another job at the same step.

    AWS: compares the tensors of ``base_trial`` with those of ``other_trial``, and does not say
    when it fires.

    Chosen: with numpy's allclose (its own tolerances) at each step that both have saved; whole
    tensors, or reductions; one job's whole tensor is not compared with the other's reductions
    (the std of smdebug's PyTorch hook divides by n - 1, numpy's by n). All tensors when no
    collection or pattern is given. ``other_trial`` is the folder with the other job's tensors.
    """

    needs = "a step that other_trial has too"
    parameters = (
        Parameter("other_trial", p.text, None, text="folder with the other job's tensors"),
        COLLECTION_NAMES,
        tensor_regex(),
    )

    def start(self) -> None:
        self._other: SavedTrial | None = None
        if self.p.other_trial:
            folder = Path(self.p.other_trial)
            if not (folder / "events").is_dir():
                raise p.ParameterError(
                    f"rule {self.rule_name}: other_trial: no events/ in {folder}"
                )
            self._other = SavedTrial(path=str(folder))
            for save in saves(folder):
                self._other.add(save)

    def unmet(self) -> str:
        return super().unmet() if self._other else "give other_trial"

    def check(self, save: Save) -> list[Finding] | None:
        if self._other is None or save.step not in self._other.steps():
            return None
        everything = not (self.p.collection_names or self.p.tensor_regex)
        regex = ("",) if everything else self.p.tensor_regex
        other = save_of(self._other, save.step)
        chosen = [
            name
            for name in self.pick(save, self.p.collection_names, regex)
            if (name in save.tensors) == (name in other.tensors) and name in other.names()
        ]
        different = [name for name in chosen if not _equal(save, other, name)]
        if not chosen:
            return None
        if not different:
            return []
        return [
            self.finding(
                save,
                f"{len(different)} of {len(chosen)} tensors differ from the other job's; "
                f"{different[0]}",
                "seeds, data order, versions or hardware differ between the two",
                tensor=different[0],
                tensors=len(different),
            )
        ]


def _equal(one: Save, other: Save, name: str) -> bool:
    whole, theirs = one.whole(name), other.whole(name)
    if whole is not None and theirs is not None:
        if whole.shape != theirs.shape:
            return False
        if whole.dtype.kind not in "fciub":
            return bool(np.array_equal(whole, theirs))
        return bool(np.allclose(whole, theirs, equal_nan=True))
    mine, yours = one.reductions.get(name, {}), other.reductions.get(name, {})
    return all(np.isclose(mine[key], yours[key], equal_nan=True) for key in mine if key in yours)


class StalledTrainingRule(TensorRule):
    """Fires when no tensor has been saved for ``threshold`` seconds.

    AWS: waits for new tensors and fires when none comes for ``threshold`` seconds;
    ``stop_training_on_fire`` then stops the jobs with ``training_job_name_prefix``.

    Chosen: live it fires at the moment (``byoc.debugger.engine`` asks ``stalled``); afterwards,
    gaps between the saves' times are looked at. Stopping is an action of ours for any rule: the
    two parameters are taken and the prefix has no effect.
    """

    needs = "tensors with their times"
    parameters = (
        Parameter("threshold", p.count(), 1800, text="seconds without a save"),
        Parameter("stop_training_on_fire", p.boolean, False, text="see the action stop-training"),
        Parameter("training_job_name_prefix", p.text, None, text="no effect here"),
    )

    def start(self) -> None:
        self._last: Save | None = None

    def check(self, save: Save) -> list[Finding] | None:
        if not save.time:
            return None
        last, self._last = self._last, save
        return [] if last is None else self._judge(last, save.time)

    def stalled(self, now: float | None = None) -> list[Finding]:
        """Findings while nothing comes; ``now``: seconds since 1970."""
        if self._last is None:
            return []
        found = self._judge(self._last, time.time() if now is None else now)
        self.findings += found
        return found

    def _judge(self, last: Save, now: float) -> list[Finding]:
        gap = now - last.time
        if gap <= self.p.threshold:
            return []
        return [
            self.finding(
                last,
                f"no tensor for {gap:.0f} s after step {last.mode_step}",
                "training hangs, or its steps are slow for the save interval: look at the log, the "
                "data loader and the other hosts",
                seconds=gap,
            )
        ]
