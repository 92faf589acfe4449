"""Ends the process where a request takes too long: a worker that hangs is never repaired."""

from __future__ import annotations

import contextlib
import faulthandler
import threading
import time
from collections.abc import Iterator

TICK = 0.25
"""Seconds between two looks at what is in flight."""


class Watchdog:
    """Tells where all threads are, and ends the process, when a request exceeds the timeout.

    The alarm is faulthandler's: it goes off in C, even where a thread keeps Python's lock. It is
    set only while requests are in flight, so that a container may be frozen between them.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._begins: dict[int, float] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._look, daemon=True, name="watchdog").start()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """A request of this thread is in flight."""
        thread = threading.get_ident()
        with self._lock:
            self._begins[thread] = time.monotonic()
            if len(self._begins) == 1:
                faulthandler.dump_traceback_later(self._timeout, exit=True)
        try:
            yield
        finally:
            with self._lock:
                del self._begins[thread]
                if not self._begins:
                    faulthandler.cancel_dump_traceback_later()

    def _look(self) -> None:
        """Sets the alarm for the oldest of several, before the one for an older goes off."""
        while True:
            time.sleep(min(TICK, self._timeout / 4))
            with self._lock:
                if self._begins:
                    left = min(self._begins.values()) + self._timeout - time.monotonic()
                    faulthandler.dump_traceback_later(max(left, 0.001), exit=True)
