"""The typed configuration of a training job, from SageMaker's hyperparameters (all strings)."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byoc.training import kinds
from byoc.training.faults import TrainingFault

SCRATCH = "scratch"
"""The value of model-name-or-path that asks for a tiny DistilBERT with random weights."""

MONITORS = ("val_mcc", "val_loss")
PRECISIONS = ("auto", "32", "bf16", "16")
CLASS_WEIGHTS = ("none", "balanced")
RULE_SETS = ("recommended", "aws")

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
    text_pair_column: str = ""
    label_column: str = "label"
    label_names: tuple[str, ...] = ()
    early_stopping_patience: int = 3
    monitor: str = "val_mcc"
    validation_fraction: float = 0.1
    gradient_clip: float = 1.0
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    dropout: float | None = None
    label_smoothing: float = 0.0
    class_weights: str = "none"
    layer_lr_decay: float = 1.0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    compile: bool = False
    cuda_graphs: bool = True
    processes_per_host: int = 0
    checkpoint_seconds: float = 300.0
    checkpoint_keep: int = 2
    debug: bool = False
    debug_save_interval: int = 100
    debug_eval_save_interval: int = 10
    debug_collections: str = ""
    debug_profile_steps: str = "10-19"
    debug_rules: str = "all"
    debug_rule_set: str = "recommended"
    debug_actions: str = "report"


_KINDS: dict[str, kinds.Kind] = {
    "epochs": kinds.integer(1, 10_000),
    "batch-size": kinds.integer(1, 65_536),
    "lr": kinds.UP_TO_ONE,
    "eps": kinds.POSITIVE,
    "max-length": kinds.integer(4, 131_072),
    "num-workers": kinds.integer(0, 256),
    "model-name-or-path": kinds.WORDS,
    "seed": kinds.integer(0),
    "weight-decay": kinds.NOT_NEGATIVE,
    "warmup-ratio": kinds.BELOW_ONE,
    "precision": kinds.one_of(PRECISIONS, {"16-mixed": "16", "bf16-mixed": "bf16"}),
    "text-column": kinds.COLUMN,
    "text-pair-column": kinds.COLUMN.or_empty("", "no pairs"),
    "label-column": kinds.COLUMN,
    "label-names": kinds.NAMES.or_empty((), "the labels themselves"),
    "early-stopping-patience": kinds.integer(0).but("epochs without a gain; 0: never stop early"),
    "monitor": kinds.one_of(MONITORS),
    "validation-fraction": kinds.BETWEEN,
    "gradient-clip": kinds.NOT_NEGATIVE.but("0: no clipping"),
    "gradient-accumulation-steps": kinds.integer(1, 65_536).but("1: no accumulation"),
    "gradient-checkpointing": kinds.BOOLEAN,
    "dropout": kinds.BELOW_ONE.or_empty(None, "the model's own"),
    "label-smoothing": kinds.BELOW_ONE,
    "class-weights": kinds.one_of(CLASS_WEIGHTS),
    "layer-lr-decay": kinds.UP_TO_ONE.but("1: the same learning rate for all layers"),
    "lora-rank": kinds.integer(0, 4096).but("0: all weights are trained"),
    "lora-alpha": kinds.POSITIVE,
    "compile": kinds.BOOLEAN,
    "cuda-graphs": kinds.BOOLEAN,
    "processes-per-host": kinds.integer(0, 256).but("0: one for each GPU, else one"),
    "checkpoint-seconds": kinds.NOT_NEGATIVE.but("0: at the end of each epoch only"),
    "checkpoint-keep": kinds.integer(1, 1000),
    "debug": kinds.BOOLEAN,
    "debug-save-interval": kinds.integer(1).but("optimizer steps"),
    "debug-eval-save-interval": kinds.integer(1).but("batches of the validation"),
    "debug-collections": kinds.TEXT,
    "debug-profile-steps": kinds.STEPS.or_empty("", "none"),
    "debug-rules": kinds.TEXT,
    "debug-rule-set": kinds.one_of(RULE_SETS),
    "debug-actions": kinds.TEXT,
}

HYPERPARAMETERS = tuple(_KINDS)
"""Every name that a job may set, besides ``preset``."""

_KNOWN = (*HYPERPARAMETERS, "preset")
_UNKNOWN = " is unknown"


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

    Raises ``TrainingFault`` that names every unknown name, every bad value and every contradiction
    at once.
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
        except (ValueError, OverflowError, TypeError, AttributeError):
            faults.append(f"{name}={text!r} is not allowed: {_KINDS[name].allowed}")
    config = TrainingConfig(**values)
    bad = given.keys() - {name.replace("_", "-") for name in values}
    faults += [fault for names, fault in _contradictions(config, given) if bad.isdisjoint(names)]
    if any(fault.endswith(_UNKNOWN) for fault in faults):
        # Once and last: SageMaker shows only the first 1,024 characters.
        faults.append(f"known are {', '.join(_KNOWN)}")
    if faults:
        raise TrainingFault("hyperparameters: " + "; ".join(faults))
    return config


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.replace("_", "-").lower(), _KNOWN, n=1)
    return f"{name}{_UNKNOWN}: did you mean {near[0]}?" if near else name + _UNKNOWN


def _contradictions(
    config: TrainingConfig, given: Mapping[str, object]
) -> Iterator[tuple[set[str], str]]:
    """(names, fault) of what no job could do, although each value alone is allowed."""
    columns = {"text-column": config.text_column, "label-column": config.label_column}
    if config.text_pair_column:
        columns["text-pair-column"] = config.text_pair_column
    for column in dict.fromkeys(columns.values()):
        names = [name for name, value in columns.items() if value == column]
        if len(names) > 1:
            fault = f"{' and '.join(names)} are both {column!r}: name different columns"
            yield set(names), fault
    parts = config.gradient_accumulation_steps * max(1, config.processes_per_host)
    if parts > config.batch_size:
        yield (
            {"batch-size", "gradient-accumulation-steps", "processes-per-host"},
            f"batch-size={config.batch_size} cannot be cut into {parts} parts "
            "(gradient-accumulation-steps times processes-per-host): raise it, or lower these",
        )
    if config.lora_rank and config.model_name_or_path == SCRATCH:
        yield (
            {"lora-rank", "model-name-or-path"},
            f"lora-rank={config.lora_rank} adapts a pretrained encoder, and model-name-or-path="
            f"{SCRATCH} is none: leave one of them out",
        )
    if "lora-alpha" in given and "lora-rank" not in given:
        yield {"lora-alpha"}, "lora-alpha does nothing without lora-rank: give both or neither"


def as_hyperparameters(config: TrainingConfig) -> dict[str, str]:
    """The reverse of ``parse_hyperparameters``, for the record in the model artifact."""
    return {
        field.name.replace("_", "-"): _as_text(getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
