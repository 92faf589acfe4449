"""The supervisor's own HTTP, on a Unix socket behind the front: metrics, and the models' API."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from byoc.serving.state import State


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def reply(status: int, content: object) -> Reply:
    return Reply(status, json.dumps(content).encode())


Answer = Callable[[str, str, str, bytes], Reply]
"""From method, path (still percent-encoded), query and body."""


class Control(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers from construction on, each request in a thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, state: State, answer: Answer) -> None:
        self.answer = answer
        super().__init__(str(state.control_socket), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True, name="control").start()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A caller that went away is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: Control

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        found = self.server.answer(self.command, parts.path, parts.query, body)
        self.send_response_only(found.status)
        self.send_header("Content-Type", found.content_type)
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _handle  # noqa: N815

    def log_message(self, *_arguments: Any) -> None:
        """The front logs."""
