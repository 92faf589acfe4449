"""What goes over a lane, a connection from the model server: one request at a time, and its reply.

The form is multi-model-server's own, read and written by its own Python package.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from mms.context import Context
from mms.protocol.otf_message_handler import (
    create_load_model_response,
    create_predict_response,
    retrieve_msg,
)
from mms.service import Service

HEAD_BYTES = 2048
"""What stands before a reply's body takes a multiple of this.

The model server reads a reply in pieces, as large as the last ones were, and closes a connection
on which a piece ends within the headers. Padded in front of them, no piece does.
"""
_LOAD = b"L"


class Incomplete(Exception):  # noqa: N818 - not a fault: more is to come
    """A message's end is not there yet."""


class Message:
    """A request: its parts by name, and the context that takes the reply's headers.

    ``parts`` is None where the server asks for the model to be loaded.
    """

    def __init__(self, command: bytes, content: Any) -> None:
        self.parts: dict[str, Any] | None = None
        if command == _LOAD:
            return
        headers, (self.parts,), self._ids = Service.retrieve_data_for_inference(content)
        self.context = Context("model", None, None, 1, None, "")
        self.context.request_ids, self.context.request_processor = self._ids, headers

    def reply(self, body: bytes) -> bytearray:
        """The bytes of the reply, with the context's status and headers."""
        return padded(
            create_predict_response([body], self._ids, "Prediction success", 200, self.context)
        )


def loaded() -> bytearray:
    """The reply to the request to load: the model is there before anything is accepted."""
    found: bytearray = create_load_model_response(200, f"loaded. [PID]:{os.getpid()}")
    return found


def is_load(command: bytes) -> bool:
    return command == _LOAD


def take(buffer: bytearray) -> Message | None:
    """The message that the buffer begins with, taken out of it; None while its end is missing.

    Raises ``ValueError`` for what is none.
    """
    window = _Window(buffer)
    try:
        command, content = retrieve_msg(window)
    except Incomplete:
        return None
    del buffer[: window.position]
    return Message(command, content)


class _Window:
    """What the package reads field by field, in some sixty calls a request, from a buffer."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self.position = 0

    def recv(self, length: int) -> bytearray:
        """Exactly so many bytes; raises ``Incomplete``."""
        end = self.position + length
        if end > len(self._buffer):
            raise Incomplete
        found = self._buffer[self.position : end]
        self.position = end
        return found


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
