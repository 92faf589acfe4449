"""From multi-model-server's requests to the functions that answer them, and back.

``byoc.serving.worker`` loads the model (``load``) and opens for requests (``enter``);
``byoc.serving.lanes`` calls ``begin``, or ``handle`` where a model's own script answers, with one
dict of parts for each request.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable
from http.client import responses
from pathlib import Path
from typing import IO, Any

from byoc.serving import codecs, model_files, packages, rules, told
from byoc.serving.codecs import Inputs
from byoc.serving.faults import NotLoaded, RequestFault
from byoc.serving.functions import Functions, Make, Reply
from byoc.serving.inference import Work, predict_fn, take_work
from byoc.serving.settings import default_workers, read_settings
from byoc.serving.state import State

WARM_UP_HEADER = "x-byoc-warm-up"
"""On the supervisor's own first request; the front removes it from what callers send."""
CONTENT_TYPE_HEADER = "x-byoc-content-type"
"""The caller's Content-Type: the server would parse forms by the real one, and fail loudly."""

_WARMED = Reply(b"{}", codecs.JSON, Work())
_functions: Functions | None = None
_logs_texts = False
_life: IO[bytes] | None = None
"""Open, and with it locked, as long as this worker lives."""


def load(model_dir: Path, state: State, gpu: int | None = None) -> None:
    """Loads the model; raises ``NotLoaded``."""
    global _functions, _logs_texts
    settings = read_settings()
    logging.getLogger().setLevel(settings.log_level)
    logging.getLogger().addFilter(told.is_news)
    _logs_texts = settings.logs_texts
    gpu = gpu if default_workers(0) else None
    os.environ["BYOC_SERVING_GPU"] = "" if gpu is None else str(gpu)
    try:
        packages.use(state.folder)
        rules.use(model_files.rules(model_dir, settings.rules))
        _functions = Functions(model_dir, gpu)
    except BaseException as error:  # a user's script may call exit()
        state.report_fault(_cause(error), traceback.format_exc())
        raise NotLoaded from error


def enter(state: State) -> None:
    """This process answers once, and counts as a live worker from then on."""
    global _life
    _warm_up()
    _life = state.enter_worker()


def handle(requests: list[dict[str, Any]], context: Any) -> list[Any]:
    """Answers requests, and waits for the model."""
    return [_reply(index, request, context) for index, request in enumerate(requests)]


def is_ours() -> bool:
    """Are all functions our own, so that ``begin`` may be called?"""
    return _functions is not None and _functions.is_default


def begin(
    request: dict[str, Any],
    context: Any,
    done: Callable[[bytes], None],
    run: Callable[[Callable[[], None]], Any],
) -> None:
    """Takes up one request, without waiting for the model.

    ``done`` gets the reply's body when the context has its status and headers. ``run`` has that
    made: at once, or in another thread, as what computes is not to be kept by a large reply.
    """
    assert _functions is not None, "the server loads before it asks"
    call = _Call(0, context)

    def finish(make: Make) -> None:
        try:
            body = call.answered(make())
        except BaseException as error:
            body = call.failed(error)
        done(body)

    try:
        taken = _taken(request, call.headers)
        if taken is None:
            done(call.answered(_WARMED))
        else:
            _functions.begin(*taken, lambda make: run(lambda: finish(make)))
    except BaseException as error:
        done(call.failed(error))


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())[:600]
    return f"cannot load the model: {type(error).__name__}: {text}"


class _Call:
    """One request, whose reply's status and headers go to the server's context."""

    def __init__(self, index: int, context: Any) -> None:
        found = context.get_all_request_header(index)
        # The server puts its parts' headers, which are dicts, among them.
        self.headers = {
            name.lower(): value for name, value in found.items() if isinstance(value, str)
        }
        self._index, self._context, self._begin = index, context, time.time()

    def answered(self, reply: Reply) -> bytes:
        self._set(200, reply.content_type, reply.work)
        return reply.body

    def failed(self, error: BaseException) -> bytes:
        if isinstance(error, RequestFault):
            status, message = error.status, error.message
        else:  # whatever it is: a user's script may call exit()
            status, message = _caused(error)
            if status >= 500:
                told.fault(self.headers, error)
        self._set(status, codecs.JSON, Work(0))
        return codecs.error_body(message)

    def _set(self, status: int, content_type: str, work: Work) -> None:
        told.note(self._context, self._index, self.headers, self._begin, work)
        self._context.set_response_status(status, responses.get(status, "Error"), self._index)
        self._context.set_response_content_type(self._index, content_type)


def _reply(index: int, request: dict[str, Any], context: Any) -> Any:
    assert _functions is not None, "the server loads before it asks"
    call = _Call(index, context)
    try:
        taken = _taken(request, call.headers)
        if taken is None:
            return call.answered(_WARMED)
        body, content_type = _functions.answer(*taken, context)
    except BaseException as error:
        take_work()
        return call.failed(error)
    return call.answered(Reply(body, content_type, take_work()))


def _caused(error: BaseException) -> tuple[int, str]:
    """Status and message of an exception: 500, unless a model's own script says what the caller
    did wrong, with sagemaker-inference's exceptions."""
    status, message = getattr(error, "status_code", 500), getattr(error, "message", None)
    if isinstance(status, int) and 400 <= status < 500 and isinstance(message, str):
        return status, message
    return 500, "the model could not answer this request"


def _taken(request: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, str, str] | None:
    """Body, content type and what is accepted; None for the supervisor's first request."""
    if WARM_UP_HEADER in headers:
        return None
    body = request.get("body", b"")
    if _logs_texts:
        told.text(headers, body)
    content_type = headers.get(CONTENT_TYPE_HEADER, "") or codecs.JSON
    return bytes(body), content_type, headers.get("accept", "")


def _warm_up() -> None:
    """Our own functions answer, which pays the first calls' cost; others have loaded."""
    assert _functions is not None, "loaded before"
    if _functions.is_default:
        for texts in (["warm up"], ["warm up", "a somewhat longer text to warm up with"] * 8):
            predict_fn(Inputs(texts), _functions.model)
