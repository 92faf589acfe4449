"""From multi-model-server's requests to the functions that answer them, and back.

``byoc.serving.worker`` loads the model (``load``) and opens for requests (``enter``);
``byoc.serving.lanes`` calls ``handle(requests, context)``, from many threads at a time, with one
dict of parts for each request.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from http.client import responses
from pathlib import Path
from typing import IO, Any

from byoc.serving import codecs, model_files, packages, rules, told
from byoc.serving.codecs import Inputs
from byoc.serving.faults import NotLoaded, RequestFault
from byoc.serving.functions import Functions
from byoc.serving.inference import Work, predict_fn, take_work
from byoc.serving.settings import default_workers, read_settings
from byoc.serving.state import State

WARM_UP_HEADER = "x-byoc-warm-up"
"""On the supervisor's own first request; the front removes it from what callers send."""
CONTENT_TYPE_HEADER = "x-byoc-content-type"
"""The caller's Content-Type: the server would parse forms by the real one, and fail loudly."""

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
    """Answers requests."""
    return [_reply(index, request, context) for index, request in enumerate(requests)]


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())[:600]
    return f"cannot load the model: {type(error).__name__}: {text}"


def _reply(index: int, request: dict[str, Any], context: Any) -> Any:
    """One request's reply body; its status and content type go to the context."""
    headers = {name.lower(): value for name, value in _headers(index, context).items()}
    begin = time.time()
    try:
        body, content_type = _answer(request, headers, context)
        status = 200
    except RequestFault as fault:
        body, content_type, status = codecs.error_body(fault.message), codecs.JSON, fault.status
    except BaseException as error:  # a user's script may call exit()
        status, message = _caused(error)
        if status >= 500:
            told.fault(headers, error)
        body, content_type = codecs.error_body(message), codecs.JSON
    work = take_work()
    told.note(context, index, headers, begin, work if status == 200 else Work(0))
    context.set_response_status(status, responses.get(status, "Error"), index)
    context.set_response_content_type(index, content_type)
    return body


def _caused(error: BaseException) -> tuple[int, str]:
    """Status and message of an exception: 500, unless a model's own script says what the caller
    did wrong, with sagemaker-inference's exceptions."""
    status, message = getattr(error, "status_code", 500), getattr(error, "message", None)
    if isinstance(status, int) and 400 <= status < 500 and isinstance(message, str):
        return status, message
    return 500, "the model could not answer this request"


def _answer(request: dict[str, Any], headers: dict[str, str], context: Any) -> tuple[bytes, str]:
    assert _functions is not None, "the server loads before it asks"
    if WARM_UP_HEADER in headers:
        return b"{}", codecs.JSON
    body = request.get("body", b"")
    if _logs_texts:
        told.text(headers, body)
    content_type = headers.get(CONTENT_TYPE_HEADER, "") or codecs.JSON
    return _functions.answer(bytes(body), content_type, headers.get("accept", ""), context)


def _warm_up() -> None:
    """Our own functions answer, which pays the first calls' cost; others have loaded."""
    assert _functions is not None, "loaded before"
    if _functions.is_default:
        for texts in (["warm up"], ["warm up", "a somewhat longer text to warm up with"] * 8):
            predict_fn(Inputs(texts), _functions.model)


def _headers(index: int, context: Any) -> dict[str, str]:
    """A request's headers; the server puts its parts' headers, which are dicts, among them."""
    found = context.get_all_request_header(index)
    return {name: value for name, value in found.items() if isinstance(value, str)}
