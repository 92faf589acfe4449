"""The temporary folder of one `serve`: what its processes tell one another, as files."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FOLDER_VARIABLE = "BYOC_SERVING_STATE"
MODEL_FILE = "model.json"
"""In a model's folder in multi-model mode: where the model itself lies."""


@dataclass(frozen=True)
class State:
    folder: Path

    @classmethod
    def from_environment(cls) -> State:
        """The state of the `serve` that started this process."""
        return cls(Path(os.environ[FOLDER_VARIABLE]))

    @property
    def ready(self) -> Path:
        """There while a worker with a loaded model is alive: /ping replies 200."""
        return self.folder / "ready"

    @property
    def inference_socket(self) -> Path:
        return self.folder / "inference.sock"

    @property
    def management_socket(self) -> Path:
        return self.folder / "management.sock"

    @property
    def workers_socket(self) -> Path:
        """The model server's connections to the workers of the one model."""
        return self.folder / "workers.sock"

    @property
    def control_socket(self) -> Path:
        """The supervisor's own HTTP: metrics, and models in multi-model mode."""
        return self.folder / "control.sock"

    @property
    def front_socket(self) -> Path:
        """The front tells here how many requests are in flight."""
        return self.folder / "front.sock"

    @property
    def request_log(self) -> Path:
        """A FIFO: the front writes a line for each request, the supervisor reads it."""
        return self.folder / "requests"

    def set_ready(self, ready: bool) -> None:
        if ready:
            self.ready.touch()
        else:
            self.ready.unlink(missing_ok=True)

    def note_load(self) -> None:
        """A worker begins to load the model."""
        with (self.folder / "loads").open("a") as stream:
            stream.write(f"{os.getpid()} {os.getppid()}\n")

    def loads(self) -> int:
        """How often a worker began to load the model."""
        try:
            return len((self.folder / "loads").read_text().splitlines())
        except FileNotFoundError:
            return 0

    def processes(self) -> set[int]:
        """Ids of the processes that load the model or have it, and of those that forked them."""
        try:
            words = (self.folder / "loads").read_text().split()
        except FileNotFoundError:
            return set()
        return {pid for pid in map(int, words) if self._is_mine(pid)}

    def _is_mine(self, pid: int) -> bool:
        """Still the process that it was? The model server names the folder in its arguments."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return str(self.folder).encode() in arguments.split(b"\0")

    def end_processes(self, seconds: float = 5.0) -> None:
        """Waits until they have gone by themselves, then kills what is left."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end + seconds:
            if time.monotonic() > end:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def enter_worker(self) -> IO[bytes]:
        """This worker has a loaded model, and counts as alive until the file is closed.

        A lock tells, not a process id: the kernel drops it with the process, whatever ends it,
        and it does not pass to the process's children.
        """
        folder = self.folder / "workers"
        folder.mkdir(exist_ok=True)
        stream = (folder / str(os.getpid())).open("wb")
        fcntl.lockf(stream, fcntl.LOCK_EX)
        return stream

    def live_workers(self) -> int:
        """How many workers with a loaded model are alive."""
        return sum(_is_locked(path) for path in (self.folder / "workers").glob("*"))

    def report_fault(self, cause: str, details: str) -> None:
        """A worker could not load the model. Whole or not at all: written aside, then renamed."""
        aside = self.folder / f"fault.{os.getpid()}"
        aside.write_text(json.dumps({"cause": cause, "details": details}), encoding="utf-8")
        aside.replace(self.folder / "fault")

    def take_fault(self) -> tuple[str, str] | None:
        """Cause and details of a fault that was reported since the last call."""
        path = self.folder / "fault"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        path.unlink()
        return content["cause"], content["details"]


def _is_locked(path: Path) -> bool:
    """Does its worker live? Removes the file where not."""
    with path.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        path.unlink()
        return False
