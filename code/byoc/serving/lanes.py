"""A worker's connections from the model server: each carries one request at a time.

The wire form is multi-model-server's own, read and written by its own Python package.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from typing import Any

from mms.protocol.otf_message_handler import create_load_model_response, retrieve_msg
from mms.service import Service

from byoc.serving import handler
from byoc.serving.watchdog import Watchdog

SWITCH_SECONDS = 0.0005
"""How long a thread may keep Python's lock from others: a tenth of the default."""
HEAD_BYTES = 2048
"""What stands before a reply's body takes a multiple of this.

The model server reads a reply in pieces, as large as the last ones were, and closes a connection
on which a piece ends within the headers. Padded in front of them, no piece does.
"""


def serve_lanes(listener: socket.socket, lanes: int, watchdog: Watchdog) -> None:
    """Answers on so many connections at a time, for good."""
    sys.setswitchinterval(SWITCH_SECONDS)
    watchdog.enter()
    free = threading.Semaphore(lanes)
    while True:
        free.acquire()
        connection, _ = listener.accept()
        arguments = (connection, watchdog, free)
        threading.Thread(target=_serve, args=arguments, daemon=True, name="lane").start()


def _serve(connection: socket.socket, watchdog: Watchdog, free: threading.Semaphore) -> None:
    reader = _Reader(connection)
    service = Service("model", None, None, handler.handle, None, 1)
    try:
        with watchdog.lane() as lane:
            while True:
                command, message = retrieve_msg(reader)
                if command == b"L":  # the model is there before anything is accepted
                    text = f"loaded. [PID]:{os.getpid()}"
                    connection.sendall(create_load_model_response(200, text))
                    continue
                watchdog.begin(lane)
                reply = service.predict(message)
                watchdog.end(lane)
                connection.sendall(padded(reply))
    except (ValueError, OSError):
        pass  # the model server has closed the connection
    finally:
        connection.close()
        free.release()


def padded(reply: bytearray) -> bytearray:
    """A reply of one request in the model server's form, its message filled up with blanks.

    The form: code, message, request id, content type, status, phrase, headers, body; strings and
    the list of headers begin with their length.
    """
    at = 4
    for skipped in (0, 0, 4, 0):  # bytes after the message, the id, the content type, the phrase
        at += 4 + _number(reply, at) + skipped
    headers = _number(reply, at)
    at += 4
    for _ in range(2 * headers):
        at += 4 + _number(reply, at)
    missing = -at % HEAD_BYTES
    reply[4:8] = struct.pack("!i", _number(reply, 4) + missing)
    reply[8:8] = b" " * missing
    return reply


def _number(reply: bytearray, at: int) -> int:
    found: int = struct.unpack_from("!i", reply, at)[0]
    return found


class _Reader:
    """What the package reads field by field, in some sixty calls a request, from a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream: Any = connection.makefile("rb", buffering=1 << 16)

    def recv(self, length: int) -> bytes:
        """Exactly so many bytes; fewer at the connection's end alone."""
        found: bytes = self._stream.read(length)
        return found
