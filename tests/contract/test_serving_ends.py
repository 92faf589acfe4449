"""How `serve` ends: told to while it loads, and killed itself."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from served import MISSING, Served, wait_until, write_script

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

ECHO = """
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    return body
"""
NEVER_LOADED = """
import time
def model_fn(folder):
    time.sleep(600)
"""


def exists(pid: int) -> bool:
    """A zombie is none: it waits for whoever runs the tests to look at it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_sigterm_while_it_loads(tmp_path: Path) -> None:
    write_script(tmp_path, NEVER_LOADED)
    served = Served(tmp_path)
    try:
        wait_until(lambda: served.ping() == 503)
        assert served.stop() == 0
        assert served.descendants() == []
        assert list(served.temporary.iterdir()) == []
    finally:
        served.close()


@pytest.mark.parametrize("mode", ["one model", "many models"])
def test_nothing_outlives_it(tmp_path: Path, mode: str) -> None:
    """SIGKILL: an orphaned front would go on to say 200."""
    write_script(tmp_path, ECHO)
    more = {"SAGEMAKER_MULTI_MODEL": "true"} if mode == "many models" else {}
    served = Served(tmp_path, **more)
    try:
        served.wait_ready()
        if more:
            body = b'{"model_name": "a", "url": "%s"}' % str(tmp_path / "model").encode()
            assert served.ask("POST", "/models", body)[0] == 200
        started = served.descendants()
        assert len(started) >= 4
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(30)
        wait_until(lambda: not any(map(exists, started)), 30)
        assert not listens(served.port)
        wait_until(lambda: not list(served.temporary.iterdir()), 30)
    finally:
        served.close()
