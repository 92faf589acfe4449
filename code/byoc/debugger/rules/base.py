"""The base of tensor rules: smdebug's ``Rule``, with parameters, findings and reasons."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
from smdebug.core.logger import get_logger
from smdebug.core.modes import ModeKeys
from smdebug.exceptions import TensorUnavailableForStep
from smdebug.rules.rule import Rule

from byoc.debugger.findings import Finding
from byoc.debugger.rules.parameters import Parameter, ParameterSet, names, patterns, resolve
from byoc.debugger.save import Save

if "SMDEBUG_LOG_LEVEL" not in os.environ:
    get_logger().setLevel(logging.WARNING)  # each rule's constructor says that it has no action

COLLECTION_NAMES = Parameter(
    "collection_names", names, None, text="collections whose tensors are looked at"
)


def tensor_regex(aws: str | None = None, recommended: str | None = None) -> Parameter:
    text = "tensors that are looked at, beside those of the collections"
    return Parameter("tensor_regex", patterns, aws, recommended or aws, text)


class TensorRule(Rule):  # type: ignore[misc]
    """Looks at one save after the other and keeps what it needs of earlier ones itself.

    A subclass has ``parameters`` and ``check``; ``self.p`` holds the parameters' values. It runs on
    our ``SavedTrial`` and on what smdebug's ``create_trial`` gives, by smdebug's ``invoke_rule``.
    """

    kind: ClassVar[Literal["tensor", "profiler"]] = "tensor"
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    needs: ClassVar[str] = "its tensors"
    """What must have been saved: the reason where it was not."""

    def __init__(
        self,
        base_trial: Any,
        parameter_set: ParameterSet = "recommended",
        other_trials: list[Any] | None = None,
        **given: Any,
    ) -> None:
        super().__init__(base_trial, action_str="", other_trials=other_trials)
        self.values = resolve(self.rule_name, self.parameters, parameter_set, given)
        self.p = SimpleNamespace(**self.values)
        self.findings: list[Finding] = []
        self.evaluated = 0
        self._picked: dict[tuple[Any, ...], list[str]] = {}
        self.start()

    def start(self) -> None:
        """Sets what the rule keeps from save to save."""

    def check(self, save: Save) -> list[Finding] | None:
        """Findings of this save; None where it has nothing that the rule can look at."""
        raise NotImplementedError

    def finish(self) -> list[Finding]:
        """Findings that only the end of the job can show."""
        return []

    def unmet(self) -> str:
        """Why nothing was evaluated."""
        return f"{self.needs} not saved"

    def invoke_at_step(self, step: int) -> bool:
        found = self.check(save_of(self.base_trial, step))
        if found is None:
            return False
        self.evaluated += 1
        self.findings += found
        return bool(found)

    def finding(self, save: Save, what: str, advice: str, **more: Any) -> Finding:
        values = {k: float(v) for k, v in more.items() if k != "tensor" and v is not None}
        return Finding(
            rule=self.rule_name,
            what=what,
            advice=advice,
            step=save.mode_step,
            mode=save.mode.name,
            time=save.time or None,
            tensor=more.get("tensor"),
            values=values,
        )

    def pick(
        self,
        save: Save,
        collections: Iterable[str] | None,
        regex: Iterable[str] | None,
        but: Iterable[str] | None = None,
    ) -> list[str]:
        """The save's tensors in any of the collections or matched by any pattern, without those
        that match ``but``; decided once for all saves with the same tensors.
        """
        key = (tuple(collections or ()), tuple(regex or ()), tuple(but or ()))
        names = save.names()
        known = self._picked.get((*key, names))
        if known is None:
            known = [name for name in names if self._decide(name, *key)]
            if self.collections_known():
                self._picked[(*key, names)] = known
        return known

    def _decide(
        self, name: str, collections: tuple[str, ...], regex: tuple[str, ...], but: tuple[str, ...]
    ) -> bool:
        if any(re.search(pattern, name) for pattern in but):
            return False
        if any(re.search(pattern, name) for pattern in regex):
            return True
        return any(in_collection(self.base_trial, name, each) for each in collections)

    def collections_known(self) -> bool:
        """Live, the first saves may come before the hook has named its collections."""
        return bool(self.base_trial.collections())


def in_collection(trial: Any, tensor: str, collection: str) -> bool:
    """smdebug's ``collection`` makes an empty one of any name; this does not."""
    found = trial.collections().get(collection)
    if found is None:
        return False
    return tensor in found.tensor_names or any(re.search(p, tensor) for p in found.include_regex)


def save_of(trial: Any, step: int) -> Save:
    """The save of a global step: ours, or made of what smdebug's own trial says of it."""
    at: Callable[[int], Save] | None = getattr(trial, "save_at", None)
    if at is not None:
        return at(step)
    mode, mode_step = trial.mode_modestep(step)
    save = Save(step, mode or ModeKeys.GLOBAL, step if mode_step is None else mode_step, 0.0)
    for name in trial.tensor_names(step=step):
        tensor = trial.tensor(name)
        try:
            save.tensors[name] = np.asarray(tensor.value(step))
        except TensorUnavailableForStep:
            save.reductions[name] = tensor.reduction_values(step)
    return save
