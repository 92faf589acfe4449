"""What the processes of one `serve` tell one another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from byoc.serving.state import FOLDER_VARIABLE, State

WORKER = """
import sys
from byoc.serving.state import State
kept = State.from_environment().enter_worker()
print("alive", flush=True)
sys.stdin.read()
"""


def test_a_worker_lives_as_long_as_its_process(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.live_workers() == 0
    environment = os.environ | {FOLDER_VARIABLE: str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WORKER], env=environment, **pipes) as worker:
        worker.stdout.readline()
        assert state.live_workers() == 1
        assert state.live_workers() == 1
        worker.kill()
        worker.wait()
    assert state.live_workers() == 0


def test_a_fault_is_taken_once(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.report_fault("cause", "details")
    assert state.take_fault() == ("cause", "details")
    assert state.take_fault() is None


def test_ready_can_be_set_and_taken_back_twice(tmp_path: Path) -> None:
    state = State(tmp_path)
    for ready in (True, True, False, False):
        state.set_ready(ready)
        assert state.ready.exists() is ready
