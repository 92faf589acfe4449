"""What a worker tells of a request: headers for the front's log, and lines of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import traceback
from collections.abc import Mapping
from typing import Any

from byoc.serving import log
from byoc.serving.inference import Work

RECEIVED_HEADER = "x-byoc-received"
"""When the front had the whole request: seconds since 1970, to the millisecond."""
REQUEST_ID_HEADER = "x-byoc-request-id"
TEXT_LIMIT = 10_000
"""Characters of a request's body in the log, where it is to be there."""


def note(context: Any, index: int, headers: Mapping[str, str], begin: float, work: Work) -> None:
    """Sets the headers that the front's log reads, and takes away from the reply.

    ``begin``: when the worker had the request, as ``time.time()``; its answer is there now.
    """
    told: dict[str, float] = {"batch": work.batch, "inputs": work.inputs}
    told["compute"] = max(0.0, (time.time() - begin - work.waited) * 1000)
    with contextlib.suppress(KeyError, ValueError):  # the supervisor asks without it
        told["queue"] = max(0.0, (begin - float(headers[RECEIVED_HEADER]) + work.waited) * 1000)
    for name, value in told.items():
        context.set_response_header(index, f"x-byoc-{name}", f"{value:.3f}".rstrip("0").rstrip("."))


def fault(headers: Mapping[str, str], error: BaseException) -> None:
    """A line of JSON for a request that failed by our own or the model's fault."""
    _print(
        {
            "level": "ERROR",
            "request_id": headers.get(REQUEST_ID_HEADER, ""),
            "error": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(error)),
        }
    )


def text(headers: Mapping[str, str], body: bytes) -> None:
    """A line of JSON with the beginning of a request's body: only where that is asked for."""
    shown = bytes(body[: 4 * TEXT_LIMIT]).decode("utf-8", "replace")[:TEXT_LIMIT]
    _print({"level": "INFO", "request_id": headers.get(REQUEST_ID_HEADER, ""), "body": shown})


def _print(entry: dict[str, str]) -> None:
    """ASCII alone: the model server cuts lines at separators that JSON may hold."""
    log.line(json.dumps(entry))


def is_news(record: logging.LogRecord) -> bool:
    """Not what a worker's frame says when the server closes its socket, as it does to end it."""
    error = record.exc_info[1] if record.exc_info else None
    return "Frontend disconnected" not in (str(error), record.getMessage().rstrip("."))
