"""What goes over a lane, a connection from the model server: one request at a time, and its reply.

The form is multi-model-server's own.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any

from mms.context import Context, RequestProcessor
from mms.protocol.otf_message_handler import (
    create_load_model_response,
    create_predict_response,
    retrieve_msg,
)

HEAD_BYTES = 2048
"""What stands before a reply's body takes a multiple of this.

The model server reads a reply in pieces, as large as the last ones were, and closes a connection
on which a piece ends within the headers. Padded in front of them, no piece does.
"""
_LOAD, _REQUEST = b"L", b"I"


class Incomplete(Exception):  # noqa: N818 - not a fault: more is to come
    """A message's end is not there yet."""


@dataclass(frozen=True)
class Message:
    """A request: its ``parts`` by name, and the ``context`` that takes the reply's headers."""

    number: str
    parts: dict[str, Any]
    context: Context

    def reply(self, body: bytes) -> bytearray:
        """The bytes of the reply, with the context's status and headers."""
        names = {0: self.number}
        return padded(create_predict_response([body], names, "", 200, self.context))


LOAD = object()
"""The server's demand to load the model: it is there before anything is accepted."""


def loaded() -> bytearray:
    """The reply to ``LOAD``."""
    found: bytearray = create_load_model_response(200, f"loaded. [PID]:{os.getpid()}")
    return found


def is_load(command: bytes) -> bool:
    return command == _LOAD


def take(buffer: bytearray) -> Message | object | None:
    """The message that the buffer begins with, taken out of it; None while its end is missing.

    Raises ``ValueError`` for what is none.
    """
    found: Message | object = LOAD
    is_request = buffer[:1] == _REQUEST
    window = _Window(buffer, 1 if is_request else 0)
    try:
        if is_request:
            found = _request(window)
        else:
            retrieve_msg(window)
    except Incomplete:
        return None
    del buffer[: window.position]
    return found


def _request(window: _Window) -> Message:
    """Of the one request that the server sends at a time.

    The package reads the same in some hundred and fifty calls. The form: for each request its
    number, headers (name, value), parts (name, content type, value); lists end with -1.
    """
    number, headers, parts = window.text(), {}, {}
    while (name := window.text_or_end()) is not None:
        headers[name] = window.text()
    while (name := window.text_or_end()) is not None:
        window.text()
        parts[name] = window.bytes()
    if window.text_or_end() is not None:
        raise ValueError("several requests in one message")
    context = Context("model", None, None, 1, None, "")
    context.request_ids, context.request_processor = {0: number}, [RequestProcessor(headers)]
    return Message(number, parts, context)


class _Window:
    """A buffer that is read from its beginning; what is not there yet raises ``Incomplete``."""

    def __init__(self, buffer: bytearray, position: int = 0) -> None:
        self._buffer, self._end = buffer, len(buffer)
        self.position = position

    def recv(self, length: int) -> bytearray:
        """Exactly so many bytes."""
        if length < 0:
            raise ValueError("a negative length")
        start, self.position = self.position, self.position + length
        if self.position > self._end:
            raise Incomplete
        return self._buffer[start : self.position]

    def bytes(self) -> bytearray:
        return self.recv(self._number())

    def text(self) -> str:
        return self.bytes().decode()

    def text_or_end(self) -> str | None:
        """None at a list's end."""
        length = self._number()
        return None if length == -1 else self.recv(length).decode()

    def _number(self) -> int:
        start, self.position = self.position, self.position + 4
        if self.position > self._end:
            raise Incomplete
        return number_at(self._buffer, start)


def padded(reply: bytearray) -> bytearray:
    """A reply of one request in the model server's form, its message filled up with blanks.

    The form: code, message, request id, content type, status, phrase, headers, body; strings and
    the list of headers begin with their length.
    """
    at = 4
    for skipped in (0, 0, 4, 0):  # bytes after the message, the id, the content type, the phrase
        at += 4 + number_at(reply, at) + skipped
    headers = number_at(reply, at)
    at += 4
    for _ in range(2 * headers):
        at += 4 + number_at(reply, at)
    missing = -at % HEAD_BYTES
    reply[4:8] = struct.pack("!i", number_at(reply, 4) + missing)
    reply[8:8] = b" " * missing
    return reply


def number_at(reply: bytearray, at: int) -> int:
    found: int = struct.unpack_from("!i", reply, at)[0]
    return found
