"""What is remembered of jobs and endpoints that run on this machine: a folder for each.

A supervisor process holds a lock for as long as it lives. The lock, not a process id, tells
whether it is alive: ids are given out again, and a lock goes with its holder whatever kills it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byoc.launch.errors import LaunchError

STATE_VARIABLE = "BYOC_STATE_DIR"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def state_dir() -> Path:
    """``BYOC_STATE_DIR``, or out/state under the working folder; an absolute path."""
    return Path(os.environ.get(STATE_VARIABLE) or "out/state").absolute()


class Record:
    """The folder of one job, model or endpoint: ``request.json``, ``state.json``, ``log``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    @classmethod
    def create(cls, kind: str, name: str, request: dict[str, Any]) -> Record:
        """A new record; raises ``LaunchError`` where the name is taken or no name for the API."""
        if not _NAME.fullmatch(name):
            raise LaunchError(
                f"{name!r} is no name for SageMaker: letters, digits and inner hyphens, at most 63"
            )
        folder = state_dir() / kind / name
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            raise LaunchError(f"there is already one named {name} in {folder.parent}") from None
        except OSError as error:
            raise LaunchError(f"cannot make {folder}: {error.strerror}") from error
        record = cls(folder)
        record.write("request.json", request)
        record.log.touch()
        return record

    @classmethod
    def find(cls, kind: str, name: str) -> Record:
        """An existing record; raises ``LaunchError`` where there is none."""
        folder = state_dir() / kind / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            raise LaunchError(f"there is none named {name} in {folder.parent}")
        return cls(folder)

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Whole or not at all: readers look at any moment."""
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self.folder, prefix=".", delete=False
        ) as out:
            json.dump(value, out, indent=1)
        Path(out.name).replace(self.folder / name)

    def read(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def update(self, **changes: object) -> None:
        """Changes fields of state.json."""
        self.write("state.json", {**self.read("state.json"), **changes})

    def start(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Starts a process of its own session, with the lock in its hands and the log as output."""
        with (self.folder / "lock").open("w") as lock, self.log.open("ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # An open file's lock is shared with the child and stays when we close our end.
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
            self.write("process.json", {"pid": process.pid})
        return process

    def is_alive(self) -> bool:
        """True while the process started by ``start`` lives."""
        try:
            with (self.folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def signal(self, number: int, *, group: bool = False) -> None:
        """Sends a signal to the process (or its whole group), if it lives."""
        pid = self.read("process.json").get("pid")
        if not pid or not self.is_alive():
            return
        try:
            (os.killpg if group else os.kill)(pid, number)
        except ProcessLookupError:
            return


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment with its interpreter's programs first on PATH, and ``extra``."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


def last_line(log: Path, prefix: str = "") -> str:
    """The last line of a log that begins with ``prefix``; the last line of all where none does."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    told = [line.strip() for line in lines if line.strip()]
    chosen = [line for line in told if line.startswith(prefix)] or told
    return chosen[-1] if chosen else ""
