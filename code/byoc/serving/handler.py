"""multi-model-server's entry into a worker: ``byoc.serving.handler:handle``.

The server calls ``handle(None, context)`` once in each worker, to load the model, and then
``handle(requests, context)`` for each batch of requests, one dict of parts for each.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
import traceback
from http import HTTPStatus
from typing import IO, Any

from byoc import contract
from byoc.serving import codecs, model_files, rules, told
from byoc.serving.codecs import Inputs
from byoc.serving.faults import RequestFault
from byoc.serving.functions import Functions
from byoc.serving.inference import predict_fn
from byoc.serving.settings import read_settings
from byoc.serving.state import State

WARM_UP_HEADER = "x-byoc-warm-up"
"""On the supervisor's own first request; the front removes it from what callers send."""
CONTENT_TYPE_HEADER = "x-byoc-content-type"
"""The caller's Content-Type: the server would parse forms by the real one, and fail loudly."""

_functions: Functions | None = None
_logs_texts = False
_life: IO[bytes] | None = None
"""Open, and with it locked, as long as this worker lives."""


def handle(requests: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    """Loads the model, or answers requests."""
    if requests is None:
        _load(context)
        return None
    return [_reply(index, request, context) for index, request in enumerate(requests)]


def _load(context: Any) -> None:
    """Loads the model; tells the supervisor why where that fails, and ends the worker."""
    global _functions, _life, _logs_texts
    state, settings = State.from_environment(), read_settings()
    logging.getLogger().setLevel(settings.log_level)
    _logs_texts = settings.logs_texts
    rules.use(model_files.rules(contract.model_dir(), settings.rules))
    gpu = context.system_properties.get("gpu_id")
    os.environ["BYOC_SERVING_GPU"] = "" if gpu is None else str(gpu)
    state.note_load()
    try:
        _functions = Functions(contract.model_dir())
    except BaseException as error:  # a user's script may call exit()
        state.report_fault(_cause(error), traceback.format_exc())
        # The server would start the worker again and again; the supervisor ends all instead.
        os._exit(1)
    _life = state.enter_worker()


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())[:600]
    return f"cannot load the model: {type(error).__name__}: {text}"


def _reply(index: int, request: dict[str, Any], context: Any) -> Any:
    """One request's reply body; its status and content type go to the context."""
    headers = {name.lower(): value for name, value in _headers(index, context).items()}
    begin = time.time()
    try:
        body, content_type = _guarded_answer(request, headers)
        status = 200
    except RequestFault as fault:
        body, content_type, status = codecs.error_body(fault.message), codecs.JSON, fault.status
    except Exception as error:
        told.fault(headers, error)
        body = codecs.error_body("the model could not answer this request")
        content_type, status = codecs.JSON, 500
    told.note(context, index, headers, begin, 1, 1 if status == 200 else 0)
    context.set_response_status(status, HTTPStatus(status).phrase, index)
    context.set_response_content_type(index, content_type)
    return body


def _guarded_answer(request: dict[str, Any], headers: dict[str, str]) -> tuple[Any, str]:
    """Answers; where that takes longer than the timeout, the worker says where it was, and ends.

    A worker that hangs would never be replaced: the server only stops talking to it.
    """
    if WARM_UP_HEADER in headers:
        return _warm_up(), codecs.JSON
    faulthandler.dump_traceback_later(float(os.environ["BYOC_SERVING_TIMEOUT"]), exit=True)
    try:
        return _answer(request, headers)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _answer(request: dict[str, Any], headers: dict[str, str]) -> tuple[Any, str]:
    assert _functions is not None, "the server loads before it asks"
    body = request.get("body", b"")
    if _logs_texts:
        told.text(headers, body)
    content_type = headers.get(CONTENT_TYPE_HEADER, "") or codecs.JSON
    return _functions.answer(bytes(body), content_type, headers.get("accept", ""))


def _warm_up() -> bytes:
    """Our own functions answer once, which pays the first call's cost; others have loaded."""
    assert _functions is not None, "the server loads before it asks"
    if _functions.is_default:
        predict_fn(Inputs(["warm up", "a somewhat longer text to warm up with"]), _functions.model)
    return b"{}"


def _headers(index: int, context: Any) -> dict[str, str]:
    """A request's headers; the server puts its parts' headers, which are dicts, among them."""
    found = context.get_all_request_header(index)
    return {name: value for name, value in found.items() if isinstance(value, str)}
