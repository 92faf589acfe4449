"""Ends a worker that is stuck: it would never be replaced otherwise.

The look comes from outside, from the process that forked the worker, so that it is not stuck with
it. A worker writes when each of its requests began into memory that both share, which costs it
next to nothing; nothing is timed while it is idle, so that a container may be frozen meanwhile.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import resource
import signal
import time

TICK = 0.25
"""Seconds between two looks."""


class Watchdog:
    """Of one worker with so many lanes; made before the fork."""

    def __init__(self, lanes: int) -> None:
        self._begins = memoryview(mmap.mmap(-1, 8 * lanes)).cast("d")
        self._free = list(range(lanes))

    def enter(self) -> None:
        """In the worker: where all threads are is told when it is ended."""
        faulthandler.enable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a model's size on the disk

    def take(self) -> int:
        """In the worker: the number of a lane that was free, for ``begin`` and ``end``."""
        return self._free.pop()

    def give(self, lane: int) -> None:
        """In the worker: the lane is free again."""
        self._begins[lane] = 0.0
        self._free.append(lane)

    def begin(self, lane: int) -> None:
        """In the worker: a request is in flight."""
        self._begins[lane] = time.monotonic()

    def end(self, lane: int) -> None:
        self._begins[lane] = 0.0

    def look(self, process: int, timeout: float) -> None:
        """In the parent: ends the worker where a request takes longer than the timeout."""
        begun = [it for it in self._begins if it]
        if begun and time.monotonic() - min(begun) > timeout:
            # faulthandler prints the stacks in C, even where a thread keeps Python's lock.
            os.kill(process, signal.SIGABRT)
            self._begins[:] = memoryview(bytes(8 * len(self._begins))).cast("d")
