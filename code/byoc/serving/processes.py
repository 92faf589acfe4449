"""The programs that `serve` starts: each leads a process group, all end with `serve`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from byoc.serving.faults import ServingFault

_PR_SET_CHILD_SUBREAPER = 36


def need(program: str, package: str) -> None:
    """Raises ``ServingFault`` where a program is not on PATH."""
    if shutil.which(program) is None:
        raise ServingFault(f"{program} is not installed: apt-get install {package}")


def adopt_orphans() -> None:
    """Makes this process the parent of whatever its children leave, as PID 1 is anyway."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Program:
    """A started program, leader of its own process group; its output goes to ours."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        is_noise: Callable[[str], bool] | None = None,
        folder: str | None = None,
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            env=environment,
            pass_fds=descriptors,
            cwd=folder,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_noise else None,
            stderr=subprocess.STDOUT if is_noise else None,
            text=bool(is_noise),
            errors="replace" if is_noise else None,
        )
        if is_noise:
            arguments = (self.process, is_noise)
            threading.Thread(target=_forward, args=arguments, daemon=True).start()

    def exit_code(self) -> int | None:
        return self.process.poll()

    def signal(self, number: int) -> None:
        """To the leader alone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Has it ended, within so many seconds?"""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_group(self) -> None:
        """Kills whatever is left of its group and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait(5)
        _reap_group(self.process.pid, 5)


def reap_orphans(programs: Sequence[Program]) -> None:
    """Reaps ended processes that were adopted, and leaves the programs' own to them."""
    for program in programs:
        with contextlib.suppress(ChildProcessError):
            while _reaped_member(program):
                pass


def _reaped_member(program: Program) -> bool:
    """Reaps one ended, adopted member of a program's group; False where there is none."""
    found = os.waitid(os.P_PGID, program.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None or found.si_pid == program.process.pid:
        return False
    os.waitpid(found.si_pid, os.WNOHANG)
    return True


def _reap_group(group: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < end:
            if os.waitpid(-group, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def _forward(process: subprocess.Popen[str], is_noise: Callable[[str], bool]) -> None:
    assert process.stdout is not None, "opened as a pipe"
    for line in process.stdout:
        if not is_noise(line):
            sys.stdout.write(line)
            sys.stdout.flush()
