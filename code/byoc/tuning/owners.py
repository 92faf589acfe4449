"""Which processes work on a tuning, and whether they still live.

Where they share the tuning's folder a lock tells: it goes with its holder, whatever kills it. Of
another host's processes only their last sign of life is known, which they leave with each trial
(``beat``).
"""

from __future__ import annotations

import fcntl
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BEAT_SECONDS = 60.0
SILENT_SECONDS = 900.0
"""A process of another host that has left no sign of life for so long is taken for dead."""

_FOLDER, _LOCK = "owners", "lock"


class Owner:
    """This process among those that work on the tuning of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.host, self.id = socket.gethostname(), uuid.uuid4().hex
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
        self._file = (folder / _FOLDER / self.id).open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """From here on this process owns nothing; the file stays, so that others see that."""
        self._file.close()

    def sign(self) -> dict[str, Any]:
        """What stands in a trial of this process's."""
        return {"host": self.host, "id": self.id, "beat": time.time()}

    def is_here(self, sign: Mapping[str, Any]) -> bool:
        """Whether the trial's owner is, or was, a process that shares this folder."""
        return "id" in sign and (self._folder / _FOLDER / sign["id"]).exists()

    def is_alive(self, sign: Mapping[str, Any]) -> bool:
        """Whether the process that left ``sign`` still works on its trial."""
        if not sign:
            return False
        try:
            with (self._folder / _FOLDER / sign["id"]).open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return bool(time.time() - sign["beat"] < SILENT_SECONDS)
        return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process of this folder at a time: for taking up a trial, which is several steps."""
        with (self._folder / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
