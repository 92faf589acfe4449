"""Asks the model server, on its Unix socket: a first invocation, and whether it answers."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path

from byoc.serving.handler import WARM_UP_HEADER
from byoc.serving.state import State


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def warm_up(state: State, timeout: float) -> bool:
    """One invocation through the model server; waits for a worker to load. Did it succeed?"""
    headers = {WARM_UP_HEADER: "yes", "Content-Type": "application/octet-stream"}
    status, _ = _ask(state.inference_socket, "POST", "/invocations", timeout, headers)
    return status == 200


def answers(state: State, timeout: float = 2.0) -> bool:
    """Does the model server itself answer? It does not wait for a worker.

    Its word on its workers is worth nothing: it calls dead ones ready, on /ping and in its
    management API. ``State.live_workers`` knows.
    """
    status, _ = _ask(state.inference_socket, "GET", "/ping", timeout)
    return status == 200


def manage(state: State, method: str, target: str, timeout: float) -> int:
    """The status of a request to the model server's management interface; 0 without a reply."""
    status, _ = _ask(state.management_socket, method, target, timeout)
    return status


def in_flight(state: State) -> int:
    """How many requests the front has that are not answered, this one's own aside."""
    _, body = _ask(state.front_socket, "GET", "/", 2.0)
    found = re.search(rb"Reading: (\d+) Writing: (\d+)", body)
    # The question itself counts as one, and so does the scrape that asks it.
    return max(0, int(found[1]) + int(found[2]) - 2) if found else 0


def _ask(
    path: Path, method: str, target: str, timeout: float, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and body of a reply; status 0 where there is none."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request(method, target, body=b"", headers=headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
