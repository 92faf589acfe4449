"""Ends what a `serve` has started where it is killed itself: nobody else would.

Its front would go on to say 200, on its port. In a container the kernel ends everything with
process 1; beside it, in `process` mode, a child does, which sees the end of a pipe.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path


class Guard:
    """From construction on, which must come before any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is removed in the end."""
        self._process = 0
        if os.getpid() == 1:
            return
        reader, self._writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._writer)
            _watch(reader, folder)
        os.close(reader)

    def add(self, group: int) -> None:
        """A process group to be killed."""
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """It has gone: its number may become another's."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Nothing is left to be ended."""
        if not self._process:
            return
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._writer)

    def _tell(self, line: str) -> None:
        if self._process:
            with contextlib.suppress(BrokenPipeError):  # it was killed itself
                os.write(self._writer, line.encode())


def _watch(reader: int, folder: Path) -> None:
    """In the child: waits until nobody holds the other end any more."""
    groups: set[int] = set()
    try:
        os.setsid()  # what is sent to the group of `serve` is not for this process
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        with os.fdopen(reader) as stream:
            for line in stream:
                (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)
