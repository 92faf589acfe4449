"""Is a worker with a loaded model alive? Asked of the model server on its sockets."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from byoc.serving.handler import WARM_UP_HEADER
from byoc.serving.model_server import MODEL_NAME
from byoc.serving.state import State

READY = "READY"
"""multi-model-server's word for a worker that has loaded its model."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def warm_up(state: State, token: str, timeout: float) -> bool:
    """One invocation through the model server; waits for a worker to load. Did it succeed?"""
    headers = {WARM_UP_HEADER: token, "Content-Type": "application/octet-stream"}
    status, _ = _ask(state.inference_socket, "POST", "/invocations", timeout, headers)
    return status == 200


def live_workers(state: State, timeout: float = 2.0) -> int | None:
    """How many workers have a loaded model; None where the model server does not answer."""
    status, body = _ask(state.management_socket, "GET", f"/models/{MODEL_NAME}", timeout)
    if status != 200:
        return None
    try:
        workers = _workers(json.loads(body))
        return len([worker for worker in workers if worker.get("status") == READY])
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _workers(reply: Any) -> list[dict[str, Any]]:
    """Some versions reply with a list of one model, some with the model."""
    model = reply[0] if isinstance(reply, list) else reply
    workers: list[dict[str, Any]] = model["workers"]
    return workers


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
