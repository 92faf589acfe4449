"""The user's processes: one is started, all that descend from it are told to stop, none is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from byoc.training.stopping import StopRequest

GRACE_SECONDS = 100
"""How long the user's processes may go on after SIGTERM; SageMaker itself kills after 120 s."""

_SHELLS = {"ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"}
_TORCHRUN = ("torch.distributed.run", "torch.distributed.launch")
_KILLED_WITHIN = 5.0
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER


def run(command: Sequence[str], folder: Path, stop: StopRequest) -> int:
    """Runs ``command`` in ``folder`` to its end, with this process's environment and streams.

    SIGTERM is passed on, see ``_Tree.stop``. Nothing that the command started is left behind.
    Returns its exit code, or the negative number of the signal that ended it.
    Raises ``OSError`` where it cannot be started.
    """
    adopt_orphans()
    stop.defer()
    try:
        process = subprocess.Popen(command, cwd=folder)
        tree = _Tree(process.pid)
        stop.on_request = tree.stop
        if stop.requested:
            tree.stop()
        try:
            process.returncode = tree.wait()
        except KeyboardInterrupt:
            tree.stop()
            process.returncode = tree.wait()
            raise
        return process.returncode
    finally:
        stop.defer()
        signal.alarm(0)
        kill_all()


def adopt_orphans() -> None:
    """Processes whose parent ends become this one's children, as they do in a container (PID 1)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)


def kill_all() -> None:
    """SIGKILL to all that descends from this process."""
    end = time.monotonic() + _KILLED_WITHIN
    while (found := psutil.Process().children(recursive=True)) and time.monotonic() < end:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


class _Tree:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._told: list[psutil.Process] = []
        self._stopping = False

    def stop(self) -> None:
        """SIGTERM to the user's own processes, once each; SIGKILL to all after the grace.

        A shell and torchrun are in between: the shell gets the signal and so does what it runs;
        of torchrun only the workers get it, since torchrun kills them half a minute after its own.
        What a program starts itself (loader processes, a save that a shell's trap runs) does not
        get it: that is the program's affair.
        """
        if self._stopping:
            return
        self._stopping = True
        signal.signal(signal.SIGALRM, lambda *_: kill_all())
        signal.alarm(GRACE_SECONDS)
        self._told = list(_users_own(psutil.Process()))
        for process in self._told:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()

    def wait(self) -> int:
        """Until the process has ended and, after a stop, all others that were told."""
        code: int | None = None
        while code is None or any(map(_lives, self._told)):
            try:
                pid, status = os.waitpid(-1, 0)  # reaps orphans too, as PID 1 must
            except ChildProcessError:
                break
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
        return code if code is not None else -signal.SIGKILL


def _users_own(parent: psutil.Process) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        for child in parent.children():
            torchrun = _is_torchrun(child)
            if not torchrun:
                yield child
            if torchrun or _program(child) in _SHELLS:
                yield from _users_own(child)


def _program(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return Path(process.exe()).name
    return ""


def _is_torchrun(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        start = process.cmdline()[:4]
        return any(Path(word).name == "torchrun" or word in _TORCHRUN for word in start)
    return False


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
