"""A user's own rule: a class in a file of theirs, named ``path/to/file.py:Class``.

The class is smdebug's ``Rule``, or one of our two bases. ``Rule``'s constructor takes the trial
first and the parameters by name; ``invoke_at_step(step)`` returns True where it fires.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smdebug.rules.rule import Rule

from byoc.debugger.rules.parameters import ParameterError
from byoc.debugger.rules.profiler import ProfilerRule


class RuleError(Exception):
    """A rule that is not there, or cannot be made; the message is one line."""


def is_own(name: str) -> bool:
    return ":" in name


def load(name: str) -> type[Any]:
    """The class of ``file.py:Class``. Runs the file. Raises RuleError."""
    file, _, wanted = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise RuleError(f"rule {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"own_rule_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RuleError(f"rule {name}: {path} is not a Python file: name it FILE.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RuleError(f"rule {name}: {type(error).__name__}: {error}") from error
    found = getattr(module, wanted, None)
    if not isinstance(found, type) or not issubclass(found, (Rule, ProfilerRule)):
        raise RuleError(
            f"rule {name}: no class {wanted} in {path} that is a smdebug.rules.rule.Rule or a "
            "byoc.debugger.rules.profiler.ProfilerRule"
        )
    return found


def make(kind: type[Any], trial: Any, parameters: Mapping[str, Any]) -> Any:
    """An instance of a plain smdebug rule; texts become what the parameter's default is."""
    known = inspect.signature(kind.__init__).parameters
    given = {name: _as(known.get(name), value) for name, value in parameters.items()}
    action = known.get("action_str")
    if action is not None and action.default is inspect.Parameter.empty:
        given.setdefault("action_str", "")
    try:
        return kind(trial, **given)
    except TypeError as error:
        raise ParameterError(f"rule {kind.__name__}: {error}") from error


def _as(parameter: inspect.Parameter | None, value: Any) -> Any:
    default = None if parameter is None else parameter.default
    if not isinstance(value, str) or not isinstance(default, (bool, int, float)):
        return value
    if isinstance(default, bool):
        return value.strip().lower() == "true"
    try:
        return type(default)(value)
    except ValueError as error:
        assert parameter is not None
        raise ParameterError(f"{parameter.name} is {value!r}: give a number") from error
