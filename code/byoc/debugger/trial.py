"""What a job has saved, with the reading methods of smdebug's ``Trial``.

A rule that is written for smdebug's ``create_trial`` runs on it. It is filled save by save: from a
finished job's event files (``byoc.debugger.events``), or live with what the hook is just saving.
"""

from __future__ import annotations

import json
import logging
import re
from bisect import insort
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from smdebug.core.collection import Collection
from smdebug.core.modes import ModeKeys
from smdebug.core.tensor import StepState
from smdebug.exceptions import StepUnavailable, TensorUnavailable, TensorUnavailableForStep

from byoc.debugger.save import Reductions, Save

RECENT = 4
"""Live, the newest saves keep their whole tensors; older ones keep numbers only."""
LARGE = 1024
"""Values of a tensor that is not kept longer than ``RECENT`` saves."""


class SavedTensor:
    """smdebug's ``Tensor``: one tensor at all its saved steps."""

    def __init__(self, name: str, trial: SavedTrial) -> None:
        self.name, self.trial = name, trial

    def steps(self, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any) -> list[int]:
        return [
            step
            for step in self.trial.steps(mode)
            if self.trial.has_saved(self.name, self.trial.save_at(step, mode))
        ]

    def value(self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any) -> Any:
        tensor = self._save(step_num, mode).whole(self.name)
        if tensor is None:
            raise TensorUnavailableForStep(self.name, step_num, mode, has_reductions=True)
        return tensor

    def values(self, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any) -> dict[int, Any]:
        return {step: self.value(step, mode) for step in self.steps(mode)}

    def reduction_value(
        self,
        step_num: int,
        reduction_name: str,
        mode: ModeKeys = ModeKeys.GLOBAL,
        abs: bool = False,  # noqa: A002 (smdebug's name)
        **_: Any,
    ) -> float | None:
        return self._save(step_num, mode).reduction(self.name, reduction_name, abs)

    def reduction_values(
        self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any
    ) -> Reductions:
        return self._save(step_num, mode).reductions.get(self.name, {})

    def shape(self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any) -> tuple[int, ...]:
        return tuple(np.shape(self.value(step_num, mode)))

    def workers(self, *_: Any, **__: Any) -> list[str]:
        return ["worker_0"]

    def _save(self, step: int, mode: ModeKeys) -> Save:
        save = self.trial.save_at(step, mode)
        if not self.trial.has_saved(self.name, save):
            raise TensorUnavailableForStep(self.name, step, mode)
        return save


class SavedTrial:
    """``keep``: how many saves stay in memory (live); None: all."""

    def __init__(self, name: str = "job", path: str = "", keep: int | None = None) -> None:
        self.name, self.path, self.keep = name, path, keep
        self.logger = logging.getLogger("smdebug")
        self.dynamic_refresh, self.loaded_all_steps, self.num_workers = False, False, 1
        self._saves: dict[int, Save] = {}
        self._by_mode: dict[ModeKeys, dict[int, int]] = {}
        self._order: list[int] = []
        self._tensors: dict[str, SavedTensor] = {}
        self._collections: dict[str, Collection] = {}

    def add(self, save: Save) -> None:
        if save.step not in self._saves:
            insort(self._order, save.step)
        self._saves[save.step] = save
        if save.mode != ModeKeys.GLOBAL:
            self._by_mode.setdefault(save.mode, {})[save.mode_step] = save.step
        for name in (*save.tensors, *save.reductions):
            if name not in self._tensors:
                self._tensors[name] = SavedTensor(name, self)
        if self.keep is not None:
            self._forget(self.keep)

    def _forget(self, keep: int) -> None:
        if len(self._order) > RECENT:
            old = self._saves[self._order[-RECENT - 1]]
            for name in [n for n, t in old.tensors.items() if callable(t) or t.size > LARGE]:
                del old.tensors[name]
        if len(self._order) > keep:
            gone = self._saves.pop(self._order.pop(0))
            self._by_mode.get(gone.mode, {}).pop(gone.mode_step, None)

    def set_collections(self, collections: Mapping[str, Any]) -> None:
        """By name: smdebug's ``Collection``, or its JSON form."""
        for name, given in collections.items():
            if isinstance(given, Collection):
                self._collections[name] = given
            else:
                self._collections[name] = Collection(
                    name=name,
                    include_regex=given.get("include_regex") or None,
                    tensor_names=set(given.get("tensor_names") or ()),
                )

    # What smdebug's Trial offers its readers.

    def save_at(self, step: int, mode: ModeKeys = ModeKeys.GLOBAL) -> Save:
        at = self.global_step(mode, step)
        if at is None or at not in self._saves:
            raise StepUnavailable(step, mode)
        return self._saves[at]

    def has_saved(self, name: str, save: Save) -> bool:
        return name in save.tensors or name in save.reductions

    def tensor(self, tname: str) -> SavedTensor:
        if tname not in self._tensors:
            raise TensorUnavailable(tname)
        return self._tensors[tname]

    def has_tensor(self, tname: str) -> bool:
        return tname in self._tensors

    def tensor_names(
        self,
        *_: bool,
        step: int | None = None,
        mode: ModeKeys = ModeKeys.GLOBAL,
        regex: str | Iterable[str] | None = None,
        collection: str | Collection | None = None,
        **__: bool,
    ) -> list[str]:
        if step is not None:
            names: Iterable[str] = self.save_at(step, mode).names()
        elif mode == ModeKeys.GLOBAL:
            names = self._tensors
        else:
            names = {n for s in self._saves.values() if s.mode == mode for n in s.names()}
        if regex is not None:
            patterns = [regex] if isinstance(regex, str) else list(regex)
            names = [name for name in names if any(re.search(p, name) for p in patterns)]
        if collection is not None:
            names = [name for name in names if self.in_collection(name, collection)]
        return sorted(names)

    def in_collection(self, tensor: str, collection: str | Collection) -> bool:
        key = collection if isinstance(collection, str) else collection.name
        found = self._collections.get(key)
        if found is None:
            return False
        return tensor in found.tensor_names or any(
            re.search(pattern, tensor) for pattern in found.include_regex
        )

    def steps(self, mode: ModeKeys = ModeKeys.GLOBAL, **_: Any) -> list[int]:
        return list(self._order) if mode == ModeKeys.GLOBAL else sorted(self._by_mode.get(mode, ()))

    def modes(self) -> list[ModeKeys]:
        return list(self._by_mode)

    def mode(self, global_step: int) -> ModeKeys | None:
        return self.mode_modestep(global_step)[0]

    def mode_step(self, global_step: int) -> int | None:
        return self.mode_modestep(global_step)[1]

    def mode_modestep(self, global_step: int) -> tuple[ModeKeys | None, int | None]:
        save = self._saves.get(global_step)
        return (save.mode, save.mode_step) if save else (None, None)

    def global_step(self, mode: ModeKeys, mode_step: int) -> int | None:
        if mode == ModeKeys.GLOBAL:
            return mode_step
        return self._by_mode.get(mode, {}).get(mode_step)

    def collections(self) -> dict[str, Collection]:
        return self._collections

    def collection(self, coll_name: str) -> Collection:
        return self._collections.setdefault(coll_name, Collection(name=coll_name))

    def workers(self) -> list[str]:
        return ["worker_0"]

    def has_passed_step(self, step: int, mode: ModeKeys = ModeKeys.GLOBAL) -> StepState:
        at = self.global_step(mode, step)
        if at in self._saves:
            return StepState.AVAILABLE
        later = self._order and (at if at is not None else step) < self._order[-1]
        if later or self.loaded_all_steps:
            return StepState.UNAVAILABLE
        return StepState.NOT_YET_AVAILABLE

    def wait_for_steps(
        self, required_steps: Iterable[int], mode: ModeKeys = ModeKeys.GLOBAL
    ) -> None:
        """Never waits: what is not here raises smdebug's ``StepUnavailable``."""
        for step in required_steps:
            self.save_at(step, mode)


def read_collections(tensors: Path) -> dict[str, Any]:
    """Of all workers' collections files, in JSON form; those that cannot be read are left out."""
    found: dict[str, Any] = {}
    for path in sorted((tensors / "collections").glob("*/*_collections.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))["collections"]
        except (ValueError, KeyError, OSError):
            continue
        for name, given in content.items():
            known = found.setdefault(name, {"include_regex": [], "tensor_names": []})
            for key in ("include_regex", "tensor_names"):
                known[key] = sorted({*known[key], *(given.get(key) or ())})
    return found
