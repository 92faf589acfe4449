"""A tree as SageMaker mounts it at /opt/ml, for a short training job on the embedded data."""

from __future__ import annotations

import json
from pathlib import Path

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus


def lay_out(tree: Path, **changes: str) -> None:
    """``changes``: hyperparameters other than the embedded ones with one epoch."""
    write_corpus(tree / "input/data", size=1200)
    config = tree / "input/config"
    config.mkdir(parents=True)
    hyperparameters = {**EMBEDDED_HYPERPARAMETERS, "epochs": "1", **changes}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    channels = {name: {"TrainingInputMode": "File"} for name in ("train", "validation")}
    (config / "inputdataconfig.json").write_text(json.dumps(channels))
