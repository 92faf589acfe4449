"""A throw-away registry on this machine: Debian's docker-registry, where it is installed."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAM = "docker-registry"
_START_SECONDS = 30.0


class NoRegistryError(Exception):
    """It is not installed, or does not start; the message says which."""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its HOST:PORT, as images' names begin; what is pushed lies in ``folder``."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise NoRegistryError(f"{PROGRAM} is not installed")
    host = f"127.0.0.1:{_free_port()}"
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        f"http: {{addr: '{host}'}}\n",
        encoding="utf-8",
    )
    command = [program, "serve", str(config)]
    # So that it ends with us even after SIGKILL.
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _await(process, host, folder / "log")
        yield host
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not _answers(host):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise NoRegistryError(f"{PROGRAM} does not start: {said}")
        time.sleep(0.05)


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
