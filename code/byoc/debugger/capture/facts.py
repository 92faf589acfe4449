"""facts.json: what is trained, on what, and what it took.

| name | meaning |
| --- | --- |
| job, node | TRAINING_JOB_NAME; algo-N of the host that wrote it |
| hyperparameters, versions | by name |
| model, precision | where training started from; Lightning's name of the arithmetic |
| parameters, trained_parameters | numbers of weights |
| device | name, count of GPUs in the job, memory_bytes of one (of the host without GPUs), cores |
| batch_size, micro_batch_size, processes, hosts | rows of an optimizer step; of one forward pass |
| rows, labels | rows by split; the labels' names with the training rows of each |
| epochs, steps_per_epoch, first_step, steps | first_step is above 0 where the job was resumed |
| started, loop_started, loop_ended, ended | seconds since 1970; missing where a job was killed |
| peak_memory_bytes | of the GPU's allocator, else of the process |
| real_tokens, computed_tokens | of this process's training batches: the difference is padding |
| debugging_ended | why, where a fault ended debugging before training |
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from byoc.debugger.capture.event_file import whole
from byoc.debugger.layout import FACTS

_PACKAGES = ("byoc", "torch", "pytorch-lightning", "transformers", "smdebug")


class Facts:
    """``given``: what only training knows, by the names above."""

    def __init__(self, folder: Path, node: str, given: dict[str, Any]) -> None:
        self._path = folder / FACTS
        self._padded = 0
        self._real: torch.Tensor | None = None
        self.content: dict[str, Any] = {
            "job": os.environ.get("TRAINING_JOB_NAME", ""),
            "node": node,
            "versions": versions(),
            "device": device(given.get("processes", 1)),
            "started": psutil.Process().create_time(),
            **given,
        }

    def count(self, mask: torch.Tensor) -> None:
        """A training batch's attention mask [rows, longest]."""
        self._padded += mask.numel()
        # Summed on the device: .item() would wait for it in every step.
        real = mask.sum()
        self._real = real if self._real is None else self._real + real

    def write(self, **changes: Any) -> None:
        """Raises ``OSError``."""
        self.content |= changes
        self.content["peak_memory_bytes"] = peak_memory()
        self.content["real_tokens"] = 0 if self._real is None else int(self._real)
        self.content["computed_tokens"] = self._padded
        whole(self._path, (json.dumps(self.content, indent=1, default=str) + "\n").encode())

    def finish(self, **changes: Any) -> None:
        self.write(ended=time.time(), **changes)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device(processes: int) -> dict[str, Any]:
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        found = {
            "name": properties.name,
            "count": processes,
            "memory_bytes": properties.total_memory,
        }
    else:
        found = {"name": "cpu", "count": 0, "memory_bytes": psutil.virtual_memory().total}
    return {**found, "cores": len(os.sched_getaffinity(0))}


def peak_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
