"""Checkpoints: one safetensors file each, whole under its name or not there at all.

SageMaker restores the folder before a job starts and copies each change to S3 while it runs, so a
file gets its name only once it is whole and on disk, and whatever lies there (torn, of another
job, half-uploaded) is looked at before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from byoc import contract
from byoc.training.faults import TrainingFault, reason

FORM = 1
"""Raised when a checkpoint's content changes its meaning: older files are passed over."""

_NAME = "checkpoint-{step:09d}.safetensors"
_GLOB = "checkpoint-*.safetensors"
_PARTIAL = "checkpoint-*.partial"

Tensors = dict[str, torch.Tensor]


@dataclass
class State:
    """What a job needs to go on: tensors by name, and facts that JSON can hold."""

    tensors: Tensors = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> Tensors:
        """The tensors under ``NAME/``, without it."""
        start = name + "/"
        return {key[len(start) :]: t for key, t in self.tensors.items() if key.startswith(start)}

    def add(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        for key, tensor in tensors.items():
            self.tensors[f"{name}/{key}"] = tensor


class Checkpoints:
    """A folder of checkpoints of one job.

    ``identity`` is everything that a run must share with the one that it goes on from; ``keep``
    is how many checkpoints stay.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], keep: int) -> None:
        self.folder = folder
        self._identity = dict(identity)
        self._keep = keep

    def newest(self) -> State | None:
        """The newest whole checkpoint of this job; says which others it passes over, and why."""
        for path in sorted(self.folder.glob(_GLOB), reverse=True):
            state, fault = self._read(path)
            if state is not None:
                print(f"resuming from {path.name}: {_place(state.facts)}", flush=True)
                self._tidy(path)
                return state
            print(f"passing over checkpoint {path.name}: {fault}", flush=True)
        return None

    def write(self, step: int, state: State) -> Path:
        """Puts a checkpoint beside the older ones, then takes the oldest away.

        Raises ``TrainingFault`` where it cannot be written; no file of its name is left then.
        """
        path = self.folder / _NAME.format(step=step)
        partial = path.with_suffix(".partial")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _ordered(state)}
        facts = json.dumps({"form": FORM, "identity": self._identity, **state.facts})
        metadata = {"facts": facts, "sha256": _digest(facts, tensors)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_partial()
            save_file(tensors, partial, metadata)
            partial.chmod(0o644)  # the library writes for the owner alone
            _to_disk(partial)
            partial.replace(path)
            _to_disk(self.folder)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise TrainingFault(
                f"cannot write a checkpoint to {self.folder}: {reason(error)}"
            ) from error
        self._prune(path)
        return path

    def _read(self, path: Path) -> tuple[State | None, str]:
        """The checkpoint, or why it is none of this job's."""
        try:
            with safe_open(path, "pt") as stream:
                metadata = stream.metadata() or {}
                facts = json.loads(metadata.get("facts", "null"))
                if not isinstance(facts, dict) or facts.get("form") != FORM:
                    return None, "it was not written by this version of train"
                differing = self._differing(facts.get("identity", {}))
                if differing:
                    return None, f"it is of another job: {', '.join(differing)} differ"
                tensors = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
        except (OSError, SafetensorError, ValueError) as error:
            return None, f"it is not whole ({reason(error)})"
        if _digest(metadata["facts"], tensors) != metadata.get("sha256"):
            return None, "its checksum is wrong"
        return State(tensors, facts), ""

    def _differing(self, identity: Mapping[str, Any]) -> list[str]:
        names = sorted({*identity, *self._identity})
        return [name for name in names if identity.get(name) != self._identity.get(name)]

    def _prune(self, newest: Path) -> None:
        """Keeps the ``keep`` newest of this job's; other files are not ours to remove."""
        ours = [path for path in sorted(self.folder.glob(_GLOB)) if self._is_ours(path)]
        for path in [path for path in ours if path != newest][: max(0, len(ours) - self._keep)]:
            path.unlink(missing_ok=True)

    def _is_ours(self, path: Path) -> bool:
        try:
            with safe_open(path, "pt") as stream:
                facts = json.loads((stream.metadata() or {}).get("facts", "{}"))
        except (OSError, SafetensorError, ValueError):
            return False
        return not self._differing(facts.get("identity", {}))

    def _tidy(self, newest: Path) -> None:
        """Takes away what a killed run had no time to; a folder that cannot be written to is told
        of when there is something to write."""
        with contextlib.suppress(OSError):
            self._remove_partial()
            self._prune(newest)

    def _remove_partial(self) -> None:
        for path in self.folder.glob(_PARTIAL):
            path.unlink(missing_ok=True)


def is_wanted() -> bool:
    """True where the job has a place for checkpoints: the folder, or a configuration of one."""
    return contract.config_file("checkpointconfig.json").exists() or (
        contract.checkpoints_dir().is_dir()
    )


def _ordered(state: State) -> list[tuple[str, torch.Tensor]]:
    return sorted(state.tensors.items())


def _digest(facts: str, tensors: Tensors) -> str:
    """Over the facts and every tensor's name and bytes: a header alone tells of no changed byte."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    """Waits until ``path`` would survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(facts: Mapping[str, Any]) -> str:
    if facts.get("has_ended"):
        return f"training had ended with epoch {facts['epoch']}"
    return f"epoch {facts['epoch'] + 1}, step {facts['step_in_epoch']}"
