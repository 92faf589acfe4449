"""SageMaker's container contract: where things lie under /opt/ml, and how a failure is told.

Every path is computed when asked for, never at import, so that one process can serve any tree:
``SAGEMAKER_BASE_DIR`` moves the whole of /opt/ml (the toolkits read the same variable).

Source: AWS's developer guide, pages your-algorithms-training-algo-* and
your-algorithms-inference-code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
TOKENS_DIR_VARIABLE = "BYOC_TOKENS_DIR"
"""Ours: a folder where jobs with the same data keep their tokenized rows for each other."""

FAILURE_LIMIT = 1024
"""How many characters of output/failure SageMaker shows as the job's FailureReason."""


def base_dir() -> Path:
    """The root of the tree: /opt/ml, or wherever ``SAGEMAKER_BASE_DIR`` says."""
    return Path(os.environ.get(BASE_DIR_VARIABLE) or "/opt/ml")


def config_file(name: str) -> Path:
    """input/config/NAME, for example ``hyperparameters.json``."""
    return base_dir() / "input" / "config" / name


def channel_dir(channel: str) -> Path:
    """Where a File or FastFile channel is mounted, read-only."""
    return base_dir() / "input" / "data" / channel


def model_dir() -> Path:
    """What lies here when training ends becomes model.tar.gz; serving reads the same folder."""
    return base_dir() / "model"


def output_dir() -> Path:
    return base_dir() / "output"


def output_data_dir() -> Path:
    """Results other than the model; they become output.tar.gz."""
    return output_dir() / "data"


def failure_file() -> Path:
    return output_dir() / "failure"


def checkpoints_dir() -> Path:
    """checkpointconfig.json's LocalPath where there is one, else checkpoints/."""
    config = read_config("checkpointconfig.json", default={})
    return Path(config.get("LocalPath") or base_dir() / "checkpoints")


def tokens_dir() -> Path | None:
    """Where tokenized rows are shared with other jobs; None where they are not."""
    found = os.environ.get(TOKENS_DIR_VARIABLE)
    return Path(found) if found else None


def read_config(name: str, default: Any = None) -> Any:
    """The JSON of input/config/NAME.

    Returns ``default`` where the file is missing (SageMaker leaves some out, local mode others).
    Raises ``ValueError`` naming the file where it is not JSON.
    """
    path = config_file(name)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return default
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def write_failure(cause: str) -> None:
    """Writes output/failure; its first 1,024 characters become the job's FailureReason.

    Never raises: where the file cannot be written the exit code still tells of the failure.
    """
    path = failure_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(cause, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        print(f"cannot write {path}: {error}", flush=True)
