"""A worker that takes too long is ended from outside, and says where it was."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

from byoc.serving.watchdog import Watchdog


def worker(watchdog: Watchdog, log: Path, stays: bool) -> tuple[int, int]:
    """A child with a request in flight, for good or for a moment; its process id, and a pipe in
    which it says that the moment is over."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    os.dup2(sys.stderr.fileno(), 2)
    faulthandler.disable()  # pytest's; Lightning's teardown in this process has taken its handlers
    watchdog.enter()
    lane = watchdog.take()
    watchdog.begin(lane)
    if stays:
        signal.pause()
    watchdog.end(lane)
    os.write(writer, b"idle")
    signal.pause()
    os._exit(0)


def look(watchdog: Watchdog, process: int, timeout: float, seconds: float) -> int | None:
    """The signal that ended it, looked for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watchdog.look(process, timeout)
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return -os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_a_stuck_worker_is_ended_and_tells_where(tmp_path: Path) -> None:
    watchdog = Watchdog(4)
    process, _ = worker(watchdog, tmp_path / "log", stays=True)
    assert look(watchdog, process, 0.5, 60) == signal.SIGABRT
    assert "test_watchdog.py" in (tmp_path / "log").read_text()


def test_one_that_has_time_left_or_is_idle_is_not(tmp_path: Path) -> None:
    watchdog = Watchdog(4)
    busy, _ = worker(watchdog, tmp_path / "log", stays=True)
    assert look(watchdog, busy, 60.0, 0.2) is None
    kill(busy)
    watchdog = Watchdog(4)
    idle, said = worker(watchdog, tmp_path / "log", stays=False)
    assert os.read(said, 4) == b"idle"
    assert look(watchdog, idle, 0.1, 0.5) is None
    kill(idle)
