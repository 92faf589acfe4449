"""Which functions serve: ours, or those of the model's own code/inference.py."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from byoc.serving import codecs, inference, rules
from byoc.serving.batching import Passed
from byoc.serving.faults import RequestFault
from byoc.serving.inference import Work
from byoc.serving.media_types import shown

PROGRAM_VARIABLE = "SAGEMAKER_PROGRAM"
"""The script's name, where it is not inference.py; sagemaker-inference's own variable."""
_NAMES = ("model_fn", "input_fn", "predict_fn", "output_fn")


def user_script(model_dir: Path) -> Path | None:
    """The model's own code/inference.py, where it brings one."""
    name = os.environ.get(PROGRAM_VARIABLE, "").strip() or "inference.py"
    path = model_dir / "code" / Path(name if name.endswith(".py") else f"{name}.py").name
    return path if path.is_file() else None


class Reply(NamedTuple):
    body: bytes
    content_type: str
    work: Work


Make = Callable[[], Reply]
"""Makes a reply of what the model said; raises what it raised."""


class Functions:
    """A loaded model and the functions that answer a request with it."""

    def __init__(self, model_dir: Path, gpu: int | None = None) -> None:
        script = user_script(model_dir)
        module = _import(script) if script else None
        chosen = {name: getattr(module, name, getattr(inference, name)) for name in _NAMES}
        transform = getattr(module, "transform_fn", None)
        self._transform = _with_context(transform, 4) if transform else None
        ours = all(chosen[name] is getattr(inference, name) for name in _NAMES)
        self.is_default = ours and self._transform is None
        self._is_our_output = chosen["output_fn"] is inference.output_fn and not transform
        self._input = _with_context(chosen["input_fn"], 2)
        self._predict = _with_context(chosen["predict_fn"], 2)
        self._output = _with_context(chosen["output_fn"], 2)
        load = _with_context(chosen["model_fn"], 1)
        self.model = load(str(model_dir), _context(model_dir, gpu))

    def answer(
        self, body: bytes, content_type: str, accept: str, context: Any = None
    ) -> tuple[bytes, str]:
        """The reply's body and content type; ``context``: the server's, for functions that take
        it."""
        if self._is_our_output:
            accept = codecs.reply_type(content_type, accept)  # 406 before the work
        elif accept.strip() in ("", "*/*"):
            accept = rules.current().accept or codecs.JSON  # users need not know wildcards
        elif not _is_header(accept):
            raise RequestFault(406, f"Accept {shown(accept)} is not supported")
        if self._transform is not None:
            reply = self._transform(self.model, body, content_type, accept, context)
        else:
            data = self._input(body, content_type, context)
            reply = self._output(self._predict(data, self.model, context), accept, context)
        found, kind = reply if isinstance(reply, tuple) else (reply, accept)
        return _body(found), _content_type(kind)

    def begin(
        self, body: bytes, content_type: str, accept: str, done: Callable[[Make], None]
    ) -> None:
        """As ``answer``, where all functions are our own, and without waiting for the model.

        ``done`` gets what makes the reply, in the thread that computed it. Raises what is wrong
        with the request.
        """
        accept = codecs.reply_type(content_type, accept)
        data = inference.input_fn(body, content_type)

        def make(outcome: Passed | BaseException) -> Reply:
            if isinstance(outcome, BaseException):
                raise outcome
            found = inference.predictions(data, outcome, self.model)
            return Reply(*inference.output_fn(found, accept), inference.work_of(data, outcome))

        rows = inference.rows_of(data, self.model)
        self.model.batcher.submit(rows, lambda outcome: done(lambda: make(outcome)))


def _with_context(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function with one more parameter, the server's context, which it gets if it takes it.

    As with sagemaker-inference; ``count``: its parameters without that one.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    if sum(it.kind in kinds for it in parameters) == count + 1:
        return function
    return lambda *given: function(*given[:-1])


def _context(model_dir: Path, gpu: int | None) -> Any:
    """What a model_fn may ask: system_properties' model_dir and gpu_id."""
    from mms.context import Context

    return Context("model", str(model_dir), None, 1, gpu, "")


def _body(found: Any) -> bytes:
    """What a model's script returns may be bytes or text, or else becomes JSON."""
    if isinstance(found, bytes | bytearray | memoryview):
        return bytes(found)
    return (found if isinstance(found, str) else json.dumps(found)).encode()


def _content_type(found: Any) -> str:
    """Raises ``ValueError`` for what no header can hold: the model server would wait for good for
    the rest of such a reply."""
    if not isinstance(found, str) or not _is_header(found):
        raise ValueError(f"a reply's content type must be printable ASCII, not {found!r:.100}")
    return found


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _import(script: Path) -> ModuleType:
    """The user's script, with its folder on the path so that it can import its neighbours."""
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location("inference", script)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {script}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["inference"] = module
    spec.loader.exec_module(module)
    return module
