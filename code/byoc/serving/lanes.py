"""A worker's connections from the model server, which we call lanes: each carries one request at a
time."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

from mms.protocol.otf_message_handler import retrieve_msg
from mms.service import Service

from byoc.serving import handler, wire
from byoc.serving.loop import Loop
from byoc.serving.watchdog import Watchdog

SWITCH_SECONDS = 0.0005
"""How long a thread may keep Python's lock from others: a tenth of the default."""


def serve_lanes(listener: socket.socket, lanes: int, watchdog: Watchdog) -> None:
    """Answers on so many connections at a time, for good."""
    sys.setswitchinterval(SWITCH_SECONDS)
    watchdog.enter()
    if handler.is_ours():
        Loop(listener, lanes, watchdog).run()
    free = threading.Semaphore(lanes)
    while True:
        free.acquire()
        connection, _ = listener.accept()
        arguments = (connection, watchdog, free)
        threading.Thread(target=_serve, args=arguments, daemon=True, name="lane").start()


def _serve(connection: socket.socket, watchdog: Watchdog, free: threading.Semaphore) -> None:
    """A lane of a model's own script, on a thread of its own: whatever the script waits for."""
    reader = _Reader(connection)
    service = Service("model", None, None, handler.handle, None, 1)
    lane = watchdog.take()
    try:
        while True:
            command, message = retrieve_msg(reader)
            if wire.is_load(command):
                connection.sendall(wire.loaded())
                continue
            watchdog.begin(lane)
            reply = service.predict(message)
            watchdog.end(lane)
            connection.sendall(wire.padded(reply))
    except (ValueError, OSError):
        pass  # the model server has closed the connection
    finally:
        watchdog.give(lane)
        connection.close()
        free.release()


class _Reader:
    """What the package reads field by field, in some sixty calls a request, from a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream: Any = connection.makefile("rb", buffering=1 << 16)

    def recv(self, length: int) -> bytes:
        """Exactly so many bytes; fewer at the connection's end alone."""
        found: bytes = self._stream.read(length)
        return found
