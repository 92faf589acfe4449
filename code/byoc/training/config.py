"""The typed configuration of a training job, from SageMaker's hyperparameters (all strings)."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from byoc.training.faults import TrainingFault

SCRATCH = "scratch"
"""The value of model-name-or-path that asks for a tiny DistilBERT with random weights."""

MONITORS = ("val_mcc", "val_loss")
PRECISIONS = ("auto", "32", "16-mixed", "bf16-mixed")

PRESETS: dict[str, dict[str, str]] = {
    "first-use": {
        "epochs": "8",
        "batch-size": "64",
        "lr": "1.557e-4",
        "eps": "1e-8",
        "max-length": "256",
    },
}
"""Named sets of hyperparameters; one given by name as well wins over the preset's."""


@dataclass(frozen=True)
class TrainingConfig:
    """Hyperparameters by their own names, with ``_`` for ``-``; the defaults train well on CoLA."""

    epochs: int = 4
    batch_size: int = 32
    lr: float = 5e-5
    eps: float = 1e-8
    max_length: int = 128
    num_workers: int = 0
    model_name_or_path: str = "distilbert-base-uncased"
    seed: int = 42
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    precision: str = "auto"
    text_column: str = "sentence"
    label_column: str = "label"
    label_names: tuple[str, ...] = ()
    early_stopping_patience: int = 3
    monitor: str = "val_mcc"
    validation_fraction: float = 0.1
    gradient_clip: float = 1.0


@dataclass(frozen=True)
class _Kind:
    """How a string becomes a value, and what is allowed, in words."""

    allowed: str
    parse: Callable[[str], Any]


def _integer(low: int, high: int = 2**31 - 1) -> _Kind:
    def parse(text: str) -> int:
        number = float(text)  # a tuner may send 8.0
        if not number.is_integer() or not low <= number <= high:
            raise ValueError
        return int(number)

    top = "" if high == 2**31 - 1 else f" to {high}"
    return _Kind(f"a whole number from {low}{top}" + ("" if top else " up"), parse)


def _number(test: Callable[[float], bool], allowed: str) -> _Kind:
    def parse(text: str) -> float:
        number = float(text)
        if not math.isfinite(number) or not test(number):
            raise ValueError
        return number

    return _Kind(allowed, parse)


def _one_of(values: tuple[str, ...]) -> _Kind:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError
        return text

    return _Kind("one of " + ", ".join(values), parse)


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError
    return names


_POSITIVE = _number(lambda x: x > 0, "a number above 0")
_FRACTION = _number(lambda x: 0 <= x < 1, "a number from 0 to below 1")
_WORDS = _Kind("not empty", _text)

_KINDS: dict[str, _Kind] = {
    "epochs": _integer(1, 10_000),
    "batch-size": _integer(1, 65_536),
    "lr": _number(lambda x: 0 < x <= 1, "a number above 0, at most 1"),
    "eps": _POSITIVE,
    "max-length": _integer(4, 131_072),
    "num-workers": _integer(0, 256),
    "model-name-or-path": _WORDS,
    "seed": _integer(0),
    "weight-decay": _number(lambda x: x >= 0, "a number from 0 up"),
    "warmup-ratio": _FRACTION,
    "precision": _one_of(PRECISIONS),
    "text-column": _WORDS,
    "label-column": _WORDS,
    "label-names": _Kind("two or more different names with commas between them", _names),
    "early-stopping-patience": _Kind(
        "a whole number from 0 up (epochs without a gain; 0: never stop early)", _integer(0).parse
    ),
    "monitor": _one_of(MONITORS),
    "validation-fraction": _number(lambda x: 0 < x < 1, "a number between 0 and 1"),
    "gradient-clip": _number(lambda x: x >= 0, "a number from 0 up (0: no clipping)"),
}

HYPERPARAMETERS = tuple(_KINDS)
"""Every name that a job may set, besides ``preset``."""


def is_platform_name(name: str) -> bool:
    """True for what SageMaker itself adds to the hyperparameters."""
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def plain(value: object) -> str:
    """A hyperparameter's text, whether it came plain or JSON-quoted (``"8"`` or ``"\\"8\\""``)."""
    if not isinstance(value, str):
        return value if value is None else json.dumps(value)  # type: ignore[return-value]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value.strip()


def parse_hyperparameters(raw: Mapping[str, object]) -> TrainingConfig:
    """The configuration that hyperparameters.json asks for.

    Raises ``TrainingFault`` that names every unknown name and every bad value at once.
    """
    given = {name: plain(value) for name, value in raw.items() if not is_platform_name(name)}
    faults: list[str] = []
    preset = given.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        faults.append(f"preset={preset!r} is not allowed: one of {', '.join(PRESETS)}")
    values: dict[str, Any] = {}
    for name, text in {**PRESETS.get(preset or "", {}), **given}.items():
        if name not in _KINDS:
            faults.append(_unknown(name))
            continue
        try:
            values[name.replace("-", "_")] = _KINDS[name].parse(text)
        except (ValueError, OverflowError, TypeError):
            faults.append(f"{name}={text!r} is not allowed: {_KINDS[name].allowed}")
    if faults:
        raise TrainingFault("hyperparameters: " + "; ".join(faults))
    return TrainingConfig(**values)


def _unknown(name: str) -> str:
    names = [*HYPERPARAMETERS, "preset"]
    near = difflib.get_close_matches(name.replace("_", "-").lower(), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return f"{name} is unknown: {hint}"


def as_hyperparameters(config: TrainingConfig) -> dict[str, str]:
    """The reverse of ``parse_hyperparameters``, for the record in the model artifact."""
    return {
        field.name.replace("_", "-"): ",".join(value) if isinstance(value, tuple) else str(value)
        for field in dataclasses.fields(config)
        for value in [getattr(config, field.name)]
    }
