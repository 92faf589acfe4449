"""The real `serve` as a child process over a tree of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MISSING = [name for name in ("java", "nginx") if shutil.which(name) is None]

SERVE = Path(sys.executable).parent / "serve"
JSON = {"Content-Type": "application/json"}


def wait_until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.05)


class Served:
    """A running `serve`."""

    def __init__(self, base: Path, **variables: str) -> None:
        self._base = base
        self.port = free_port()
        self.temporary = base / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.log = base / "log"
        self.seen: set[int] = set()
        environment = os.environ | {
            "SAGEMAKER_BASE_DIR": str(base),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "TMPDIR": str(self.temporary),
            **variables,
        }
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                [SERVE], env=environment, stdout=stream, stderr=stream, start_new_session=True
            )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()

    def invoke(self, content: object, headers: dict[str, str] = JSON) -> tuple[int, object]:
        status, _, body = self.ask("POST", "/invocations", json.dumps(content).encode(), headers)
        return status, json.loads(body)

    def ping(self) -> int:
        """The status; 0 while nothing listens."""
        try:
            return self.ask("GET", "/ping")[0]
        except OSError:
            return 0

    def wait_ready(self) -> set[int]:
        """All statuses of /ping until the first 200."""
        seen: set[int] = set()

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            seen.add(self.ping())
            return 200 in seen

        wait_until(is_ready)
        return seen

    def entries(self) -> list[dict[str, object]]:
        """The log's lines of JSON."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def metrics(self) -> dict[str, float]:
        """Values by name and labels."""
        _, _, body = self.ask("GET", "/metrics")
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def descendants(self) -> list[int]:
        """Process ids of everything that this server started."""
        mark = f"SAGEMAKER_BASE_DIR={self._base}"
        pids = process_ids()
        found = {pid for pid in pids if mark in environment_of(pid).split("\0")}
        parents = {pid: parent_of(pid) for pid in pids}
        for pid in pids:  # nginx writes its title over its environment
            ancestor = pid
            while ancestor > 1 and ancestor not in found:
                ancestor = parents.get(ancestor, 0)
            if ancestor in found:
                found.add(pid)
        return sorted(found)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()


def process_ids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_script(base: Path, script: str) -> Path:
    """A model that is nothing but its own code/inference.py: loads in no time."""
    (base / "model/code").mkdir(parents=True)
    (base / "model/code/inference.py").write_text(script)
    return base / "model"
