"""smdebug's Hook, driven step by step from outside instead of by the modules' own hooks.

smdebug's hook counts forward passes and sees gradients as backward makes them: with accumulation
its steps are micro-batches, with fp16 its gradients are scaled. Here whoever trains says which step
it is and hands the tensors over; what is saved when, under which names and in which form remains
smdebug's: collections, save intervals, reductions, the files.
"""

from __future__ import annotations

import atexit
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from smdebug.core.collection import CollectionKeys
from smdebug.core.hook_utils import verify_and_get_out_dir
from smdebug.core.json_config import (
    add_collections_to_manager,
    collect_hook_config_params,
    get_include_collections,
)
from smdebug.core.modes import ModeKeys
from smdebug.core.save_config import SaveConfig
from smdebug.pytorch import Hook

from byoc.debugger import names
from byoc.debugger.capture.event_file import EventFile, whole

END_OF_JOB = "training_job_end.ts"

_MADE = ("percentile/", "update_ratio/")
_OF_MADE = (names.PERCENTILES, names.UPDATES, CollectionKeys.ALL)
_OURS = "|".join(_MADE)
_REGEX = {
    CollectionKeys.WEIGHTS: f"^(?!gradient/|{_OURS}).*weight",
    CollectionKeys.BIASES: f"^(?!gradient/|{_OURS}).*bias",
    CollectionKeys.GRADIENTS: "^gradient/",
    CollectionKeys.LOSSES: f"^{names.LOSS}$",
    names.PREDICTED: f"^({names.LABELS}|{names.PREDICTIONS}|{names.INPUT_IDS})$",
    names.PERCENTILES: "^percentile/",
    names.UPDATES: "^update_ratio/",
}


class TensorHook(Hook):  # type: ignore[misc]
    """``config`` in the form of debughookconfig.json; ``activations``: names of modules.

    ``first``: the global step (over all modes) that comes next. A folder may hold what an earlier
    run of the same job saved: its steps from ``first`` on are taken away, as that run was cut off
    and they come again. Raises smdebug's errors for a configuration that it cannot follow, and
    ``OSError``.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], activations: list[str], first: int = 0
    ) -> None:
        given = collect_hook_config_params(config)
        # Past smdebug's own guard, which hides an error behind one of its making.
        Hook.__init__.__wrapped__(
            self,
            out_dir=str(_ready(folder, first)),
            save_config=SaveConfig.from_dict(given["save_config_modes"]),
            reduction_config=given["reduction_config"],
            include_regex=given["include_regex"],
            include_collections=get_include_collections(config),
            save_all=given.get("save_all", False),
        )
        atexit.unregister(self._cleanup)
        self.first_process = True  # by rank; smdebug would claim the folder with a file
        self.folder = folder
        self.writer: EventFile | None = None
        self.last: EventFile | None = None
        """The newest step that was saved."""
        for name, regex in _REGEX.items():
            self.get_collection(name).include_regex = [regex]
        if activations:
            listed = "|".join(map(re.escape, activations))
            self.get_collection(names.ACTIVATIONS).include(rf"^({listed})_(input|output)_\d+$")
        elif names.ACTIVATIONS in self.include_collections:
            self.include_collections.remove(names.ACTIVATIONS)
        asked = [
            one
            for one in config["CollectionConfigurations"]
            if activations or one["CollectionName"] != names.ACTIVATIONS
        ]
        add_collections_to_manager(
            self.collection_manager, {**config, "CollectionConfigurations": asked}, given
        )
        self._prepare_collections()
        self._exported: set[ModeKeys] = set()

    def begin(self, mode: ModeKeys, mode_step: int, step: int) -> bool:
        """Whether anything is saved at this step."""
        self.mode, self.step = mode, step
        self.mode_steps[mode] = mode_step
        self.mode_steps[ModeKeys.GLOBAL] = step
        self._collections_to_save_for_step = None
        self.written_tensor_name_for_step.clear()
        return bool(self._get_collections_to_save_for_step())

    def wants(self, name: str) -> bool:
        """Whether a tensor of that name is saved at this step."""
        wanted = self._get_collections_with_tensor(name) & self._get_collections_to_save_for_step()
        if name.startswith(_MADE):
            # Numbers of ours are no tensor that a user's regular expression asks for.
            return any(collection.name in _OF_MADE for collection in wanted)
        return bool(wanted)

    def is_new(self, name: str) -> bool:
        """Whether no tensor of that name was written at this step."""
        return self.writer is None or not self.writer.holds(name)

    def wants_any(self, name: str) -> bool:
        """Whether a tensor of that name is saved at any step."""
        return any(
            re.search(regex, name)
            for collection in self._collections_to_save
            for regex in collection.include_regex
        )

    def write(self, name: str, value: torch.Tensor) -> None:
        """As the tensor's collections say: whole, reductions, both, or not at this step."""
        if not self.wants(name):
            return
        if self.writer is None:
            self.writer = EventFile(self.folder, self.step, self.worker)
        value = value.detach()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()  # numpy has no bf16, and sums of halves lose too much
        self._save_for_tensor(name, value)

    def end(self) -> bool:
        """Puts the step's files in place; whether there were any. Raises ``OSError``."""
        if self.writer is None:
            return False
        writer, self.writer = self.writer, None
        self.last = writer
        self.scalar_cache: list[Any] = []
        writer.close()
        self.last_saved_step = self.step
        if self.mode not in self._exported:
            self._exported.add(self.mode)
            self.export_collections()
        return True

    def finish(self, marks_end: bool) -> None:
        """After the last step; ``marks_end``: tells smdebug's readers that no more will come."""
        self.writer = None
        if self._exported:
            self.export_collections()
        if marks_end:
            whole(self.folder / END_OF_JOB, b"")
        self.drop()

    def drop(self) -> None:
        """Ends what smdebug has started for itself; writes nothing."""
        self.timeline_writer.close()

    def _initialize_to_last_saved_state(self) -> None:
        """Where a job goes on is known from its checkpoint: smdebug's own record of it would lie
        between our checkpoints."""
        self.training_run = 0

    def _write_reductions(
        self, tensor_name: str, tensor_value: torch.Tensor, save_collections: Any, **_: Any
    ) -> None:
        """smdebug's, of one tensor at once: a GPU is waited for once."""
        wanted: dict[tuple[str, bool], None] = {}
        for collection in save_collections:
            given = collection.reduction_config
            for kinds, is_absolute in (
                ((given.reductions, given.norms), False),
                ((given.abs_reductions, given.abs_norms), True),
            ):
                wanted |= {(kind, is_absolute): None for group in kinds for kind in group}
        if not wanted or not tensor_value.numel():
            return
        values = reductions(tensor_value, list(wanted)).cpu().numpy()
        for (kind, is_absolute), value in zip(wanted, values, strict=True):
            name = self._get_reduction_tensor_name(tensor_name, kind, is_absolute)
            self._write_raw_tensor_simple(name, value)


def reductions(value: torch.Tensor, kinds: list[tuple[str, bool]]) -> torch.Tensor:
    """[kinds]: smdebug's reductions (name, of absolute values) of a tensor.

    The standard deviation and the variance are smdebug's for torch, the unbiased ones; of a single
    number they are 0.
    """
    flat = value.reshape(-1)
    if not flat.is_floating_point():
        flat = flat.float()
    found: dict[tuple[str, bool], torch.Tensor] = {}
    if ("min", False) in kinds or ("max", False) in kinds:
        found["min", False], found["max", False] = torch.aminmax(flat)
    if ("mean", True) in kinds or ("sum", True) in kinds:
        total = torch.linalg.vector_norm(flat, 1)  # no copy of the absolute values
        found["sum", True], found["mean", True] = total, total / flat.numel()
    return torch.stack([found[kind] if kind in found else _one(flat, *kind) for kind in kinds])


def _one(flat: torch.Tensor, kind: str, is_absolute: bool) -> torch.Tensor:
    if kind in ("l1", "l2"):
        norm: torch.Tensor = torch.linalg.vector_norm(flat, int(kind[1]))
        return norm
    if is_absolute:
        flat = flat.abs()
    if kind in ("std", "variance"):
        if flat.numel() == 1:
            return flat.new_zeros(())
        return flat.std() if kind == "std" else flat.var()
    value: torch.Tensor = getattr(flat, kind)()  # min, max, mean, sum, prod
    return value


def _ready(folder: Path, first: int) -> Path:
    """The folder without what an earlier run saved from ``first`` on."""
    if first:
        (folder / END_OF_JOB).unlink(missing_ok=True)
    verify_and_get_out_dir(str(folder))  # raises where an earlier job has ended there
    for path in [*folder.glob("events/*"), *folder.glob("index/*/*")]:
        number = path.name.partition("_")[0]
        if number.isdigit() and int(number) >= first:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return folder
