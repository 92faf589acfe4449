"""What is captured: from hyperparameters, and from the files that SageMaker Debugger writes.

input/config/debughookconfig.json (LocalPath, HookParameters, CollectionConfigurations) and
profilerconfig.json (ProfilingIntervalInMilliseconds, ProfilingParameters with LocalPath and
DetailedProfilingConfig). What the first says wins over hyperparameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.debugger.layout import PROFILER, TENSORS, debugger_dir
from byoc.debugger.names import ACTIVATIONS, PERCENTILES, PREDICTED, UPDATES

HOOK_FILE, PROFILER_FILE = "debughookconfig.json", "profilerconfig.json"

FIRST_STEPS = range(10)
"""Saved besides those of the interval: weights that are initialized badly show at once."""

REDUCTIONS = "min,max,mean,std,abs_mean,l2_norm"

_REDUCED = {"reductions": REDUCTIONS}
_WHOLE = {"save_raw_tensor": True}
COLLECTIONS: dict[str, dict[str, Any]] = {
    "losses": {},
    "gradients": _REDUCED,
    "weights": _REDUCED,
    "biases": _REDUCED,
    ACTIVATIONS: _REDUCED,
    PREDICTED: _WHOLE,
    PERCENTILES: _WHOLE,
    UPDATES: _WHOLE,
}
"""What is saved where nothing else is asked for."""


class SettingsError(Exception):
    """A configuration that cannot be followed; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """``hook``: in the form of debughookconfig.json; ``profile_steps``: the first and the last."""

    hook: dict[str, Any]
    tensors: Path
    framework: Path
    system: Path
    """The folders that framework/ and system/ go to."""
    interval_seconds: float = 0.5
    profile_steps: tuple[int, int] | None = None
    ends_itself: bool = True
    """Whether the hook marks the end of the job: on SageMaker with Debugger the service does."""


def is_asked_for(debug: bool) -> bool:
    """``debug`` is the hyperparameter; SageMaker Debugger asks by its file."""
    return debug or contract.config_file(HOOK_FILE).exists()


def settings(
    save_interval: int,
    eval_save_interval: int,
    collections: str,
    profile_steps: tuple[int, int] | None,
) -> Settings:
    """Raises ``SettingsError`` for files and collections that are not of SageMaker's form.

    ``collections``: names with commas between them, or JSON as CollectionConfigurations; empty:
    `COLLECTIONS`.
    """
    given, profiler = _file(HOOK_FILE), _file(PROFILER_FILE)
    parameters = dict(given.get("HookParameters") or {})
    _default(parameters, "train", "save_interval", save_interval)
    _default(parameters, "eval", "save_interval", eval_save_interval)
    _default(parameters, "train", "save_steps", ",".join(map(str, FIRST_STEPS)))
    hook = {
        "HookParameters": _booleans(parameters),
        "CollectionConfigurations": _collections(given, collections),
    }
    folder = debugger_dir()
    profiling = profiler.get("ProfilingParameters") or {}
    if profiler.get("DisableProfiler"):
        profile_steps = None
    return Settings(
        hook,
        Path(given.get("LocalPath") or folder / TENSORS),
        Path(profiling.get("LocalPath") or folder / PROFILER),
        # Not where profilerconfig.json says: the platform itself writes its samples there.
        folder / PROFILER,
        float(profiler.get("ProfilingIntervalInMilliseconds") or 500) / 1000,
        _detailed(profiling) or profile_steps,
        ends_itself=not given,
    )


def _file(name: str) -> dict[str, Any]:
    try:
        found = contract.read_config(name, default={})
    except (OSError, ValueError) as error:
        raise SettingsError(str(error)) from error
    if not isinstance(found, dict):
        raise SettingsError(f"{contract.config_file(name)} is not a JSON object")
    return found


def _default(parameters: dict[str, Any], mode: str, name: str, value: object) -> None:
    """A setting without a mode is one for every mode: it wins over a default for one of them."""
    if name not in parameters:
        parameters.setdefault(f"{mode}.{name}", str(value))


def _collections(given: Mapping[str, Any], asked: str) -> list[dict[str, Any]]:
    configured = given.get("CollectionConfigurations")
    if not configured and asked.strip():
        configured = _asked(asked)
    if not configured:
        return [_collection(name, parameters) for name, parameters in COLLECTIONS.items()]
    if not isinstance(configured, list) or not all(
        isinstance(one, dict) and isinstance(one.get("CollectionName"), str) for one in configured
    ):
        raise SettingsError(
            "CollectionConfigurations is not a list of objects with a CollectionName each"
        )
    return [
        _collection(one["CollectionName"], one.get("CollectionParameters") or {})
        for one in configured
    ]


def check_collections(text: str) -> None:
    """Raises ``SettingsError`` for a ``debug-collections`` that cannot be followed."""
    if text.strip():
        _collections({}, text)


def _asked(text: str) -> Any:
    """Of the hyperparameter debug-collections."""
    if not text.lstrip().startswith(("[", "{")):
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = sorted(set(names) - set(COLLECTIONS))
        if unknown:
            raise SettingsError(
                f"debug-collections: {', '.join(unknown)} unknown; known are "
                f"{', '.join(COLLECTIONS)}; others come as JSON, with an include_regex"
            )
        return [_collection(name, COLLECTIONS[name]) for name in names]
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"debug-collections is not JSON: {error}") from error


def _collection(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As SageMaker's own hook has it, a collection without reductions is saved whole."""
    parameters = _booleans(dict(parameters))
    if "reductions" not in parameters:
        parameters["reductions"] = ""
        parameters["save_raw_tensor"] = True
    return {"CollectionName": name, "CollectionParameters": parameters}


def _booleans(parameters: dict[str, Any]) -> dict[str, Any]:
    """SageMaker's API has text only; smdebug takes these two as booleans."""
    for name in ("save_raw_tensor", "save_shape"):
        if isinstance(parameters.get(name), str):
            parameters[name] = parameters[name].lower() in ("true", "1", "yes")
    return parameters


def _detailed(profiling: Mapping[str, Any]) -> tuple[int, int] | None:
    """FrameworkProfile(start_step=, num_steps=), which comes as JSON in a text."""
    text = profiling.get("DetailedProfilingConfig")
    if not text:
        return None
    try:
        found = json.loads(text) if isinstance(text, str) else text
        first, count = int(found.get("StartStep") or 0), int(found.get("NumSteps") or 1)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{contract.config_file(PROFILER_FILE)}: DetailedProfilingConfig is not JSON with "
            f"StartStep and NumSteps: {text!r}"
        ) from error
    return (first, first + count - 1) if count > 0 else None
