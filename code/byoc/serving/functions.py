"""Which functions serve: ours, or those of the model's own code/inference.py."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from byoc.serving import codecs, inference, rules

USER_SCRIPT = "inference.py"
_NAMES = ("model_fn", "input_fn", "predict_fn", "output_fn")


def user_script(model_dir: Path) -> Path | None:
    """The model's own code/inference.py, where it brings one."""
    path = model_dir / "code" / USER_SCRIPT
    return path if path.is_file() else None


class Functions:
    """A loaded model and the functions that answer a request with it."""

    def __init__(self, model_dir: Path) -> None:
        script = user_script(model_dir)
        module = _import(script) if script else None
        chosen = {name: getattr(module, name, getattr(inference, name)) for name in _NAMES}
        self.is_default = all(chosen[name] is getattr(inference, name) for name in _NAMES)
        self._input: Callable[..., Any] = chosen["input_fn"]
        self._predict: Callable[..., Any] = chosen["predict_fn"]
        self._output: Callable[..., Any] = chosen["output_fn"]
        self._transform: Callable[..., Any] | None = getattr(module, "transform_fn", None)
        self.is_default = self.is_default and self._transform is None
        self.model = chosen["model_fn"](str(model_dir))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[Any, str]:
        """The reply's body and content type."""
        if self._transform is None and self._output is inference.output_fn:
            accept = codecs.reply_type(content_type, accept)  # 406 before the work
        elif accept.strip() in ("", "*/*"):
            accept = rules.current().accept or codecs.JSON  # users need not know wildcards
        if self._transform is not None:
            reply = self._transform(self.model, body, content_type, accept)
        else:
            data = self._input(body, content_type)
            reply = self._output(self._predict(data, self.model), accept)
        return reply if isinstance(reply, tuple) else (reply, accept)


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
