"""Where this process stands among those that train together, and what they tell each other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from byoc.training.faults import LostPeerError, reason

Result = TypeVar("Result")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, who may be writing a checkpoint; the death of one is
noticed at once, by its closed connection."""

GPU_STEPS_BETWEEN_LOOKS = 10
"""On GPUs the processes compare their flags that seldom: it makes the host wait for the device."""


@dataclass(frozen=True)
class Place:
    """``rank`` of ``world`` processes, ``local_world`` of them on this host."""

    rank: int = 0
    world: int = 1
    local_world: int = 1
    group: Any = None
    """The group for messages between hosts' memories (gloo); ``None`` for a process alone."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def hosts(self) -> int:
        return self.world // self.local_world

    def looks_at(self, step: int) -> bool:
        """Whether all processes compare their flags after this step."""
        return (
            self.world == 1 or not torch.cuda.is_available() or not step % (GPU_STEPS_BETWEEN_LOOKS)
        )

    def any(self, *flags: bool) -> list[bool]:
        """Each flag, true where it is so in any process."""
        if self.world == 1:
            return list(flags)
        values = torch.tensor([int(flag) for flag in flags])
        _together(lambda: distributed.all_reduce(values, distributed.ReduceOp.MAX, self.group))
        return [bool(value) for value in values.tolist()]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, on the CPU."""
        summed = values.detach().cpu().clone()
        if self.world > 1:
            _together(lambda: distributed.all_reduce(summed, group=self.group))
        return summed

    def gather(
        self, logits: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[rows of this process, …] of every process, one after the other."""
        if self.world == 1:
            return logits, labels
        found: list[Any] = [None] * self.world
        _together(lambda: distributed.all_gather_object(found, (logits, labels), group=self.group))
        return torch.cat([pair[0] for pair in found]), torch.cat([pair[1] for pair in found])

    def first_says(self, value: Result) -> Result:
        """What the first process gives, in every process."""
        if self.world == 1:
            return value
        said = [value]
        _together(lambda: distributed.broadcast_object_list(said, src=0, group=self.group))
        return said[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            _together(lambda: distributed.barrier(group=self.group))


def join() -> Place:
    """Meets the others as torchrun's environment says; a process alone where it says nothing.

    Raises ``LostPeerError`` where they do not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Place()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    _together(lambda: distributed.init_process_group(backend, timeout=PATIENCE))
    group = (
        distributed.group.WORLD
        if backend == "gloo"
        else distributed.new_group(backend="gloo", timeout=PATIENCE)
    )
    return Place(
        int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_WORLD_SIZE", world)), group
    )


def is_lost_peer(error: BaseException) -> bool:
    """True for what a collective operation raises when another process has gone."""
    text = str(error)
    signs = ("Connection closed by peer", "Connection reset", "Broken pipe", "Timed out waiting")
    return isinstance(error, distributed.DistError) or any(sign in text for sign in signs)


def lost_peer(error: BaseException) -> LostPeerError:
    # gloo begins with the line of its own source.
    said = re.sub(r"^\[[^]]*\] *", "", reason(error)).split(". ")[0]
    return LostPeerError(
        "another of the processes that train together has ended, or cannot be reached "
        f"({said}); its own host's log says why"
    )


def _together(operation: Callable[[], Any]) -> None:
    try:
        operation()
    except (RuntimeError, OSError) as error:
        raise lost_peer(error) from error
