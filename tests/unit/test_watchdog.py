"""A worker that takes too long is ended from outside, and says where it was."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

from byoc.serving.watchdog import Watchdog


def worker(watchdog: Watchdog, log: Path, seconds: float) -> int:
    """A child that has one request in flight for so long, and then none; its process id."""
    process = os.fork()
    if process:
        return process
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    os.dup2(sys.stderr.fileno(), 2)
    faulthandler.disable()  # pytest's; Lightning's teardown in this process has taken its handlers
    watchdog.enter()
    with watchdog.lane() as lane:
        watchdog.begin(lane)
        time.sleep(seconds)
        watchdog.end(lane)
        time.sleep(30)
    os._exit(0)


def ended(watchdog: Watchdog, process: int, timeout: float, seconds: float) -> int | None:
    """The signal that ended it, looked for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watchdog.look(process, timeout)
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return -os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def test_a_stuck_worker_is_ended_and_tells_where(tmp_path: Path) -> None:
    watchdog = Watchdog(4)
    process = worker(watchdog, tmp_path / "log", 30)
    assert ended(watchdog, process, 0.5, 10) == signal.SIGABRT
    assert "test_watchdog.py" in (tmp_path / "log").read_text()


def test_one_that_answers_or_is_idle_is_not(tmp_path: Path) -> None:
    watchdog = Watchdog(4)
    process = worker(watchdog, tmp_path / "log", 0.1)
    assert ended(watchdog, process, 1.0, 2) is None
