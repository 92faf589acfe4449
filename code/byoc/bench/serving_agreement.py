"""Does the default kernel say what fp32 says? A real encoder, fine-tuned on real sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from byoc import archive
from byoc.bench.training_data import Source, table, write_table
from byoc.scores import scores

KEPT_OUT = 2000
"""Rows of the training split that the model does not see."""
RESAMPLES = 2000
HYPERPARAMETERS = {"epochs": "4", "lr": "5e-5", "batch-size": "32", "seed": "1"}


class AgreementError(Exception):
    """The model could not be trained, in one line."""


@dataclass(frozen=True)
class Agreement:
    told: str
    """How the default kernel computes."""
    rows: int
    same: float
    """Share of rows with the same label."""
    exact: float
    """MCC in fp32."""
    difference: float
    """MCC of the default kernel minus that."""
    interval: tuple[float, float]
    """95% of the difference, by the bootstrap over rows."""


def measure(source: Source, encoder: Path, scratch: Path, tuned: Path | None) -> Agreement:
    """``tuned``: the model, where it was trained before; it is kept there otherwise."""
    train = list(table(source.train).rows())
    order = np.random.default_rng(0).permutation(len(train))
    kept = [train[place] for place in order[:KEPT_OUT]]
    rows = [*table(source.validation).rows(), *kept]
    folder = tuned or scratch / "tuned"
    if not (folder / "model.safetensors").is_file():
        seen = ((train[place].text, train[place].label) for place in sorted(order[KEPT_OUT:]))
        write_table(scratch / "seen", seen)
        _train(scratch, source, encoder, folder)
    names = sorted({row.label for row in rows})
    labels = np.array([names.index(row.label) for row in rows])
    texts = [row.text for row in rows]
    exact, _ = _predictions(folder, texts, "fp32")
    fast, told = _predictions(folder, texts, "auto")
    return _compared(told, labels, exact, fast)


def _train(scratch: Path, source: Source, encoder: Path, folder: Path) -> None:
    program = Path(sys.executable).parent / "byoc"
    command = [str(program), "train", "--where", "process", "--job-name", "agreement"]
    command += ["--train", str(scratch / "seen"), "--validation", str(source.validation)]
    command += ["--model", str(encoder), "--output", str(scratch / "jobs")]
    for name, value in HYPERPARAMETERS.items():
        command += ["-H", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AgreementError(f"training: {(done.stderr or done.stdout).strip()[-300:]}")
    (packed,) = (scratch / "jobs").rglob("model.tar.gz")
    archive.unpack(packed, folder)


def _predictions(folder: Path, texts: Sequence[str], precision: str) -> tuple[Any, str]:
    """The label's number for each text, as a server in this precision would say, and how it
    computed."""
    from byoc.serving.inference import model_fn

    before = os.environ.get("BYOC_PRECISION")
    os.environ["BYOC_PRECISION"] = precision
    try:
        classifier = model_fn(str(folder))
    finally:
        os.environ.pop("BYOC_PRECISION")
        if before is not None:
            os.environ["BYOC_PRECISION"] = before
    found = classifier.batcher.scores(classifier.tokenizer.rows(texts)).scores
    return np.array(found).argmax(1), classifier.told


def _compared(told: str, labels: Any, exact: Any, fast: Any) -> Agreement:
    def mcc(rows: Any, said: Any) -> float:
        return float(scores(labels[rows].tolist(), said[rows].tolist(), 2)["mcc"])

    generator = np.random.default_rng(0)
    everything = np.arange(len(labels))
    differences = []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(labels), size=len(labels))
        differences.append(mcc(rows, fast) - mcc(rows, exact))
    low, high = np.percentile(differences, [2.5, 97.5])
    whole = mcc(everything, exact)
    return Agreement(
        told,
        len(labels),
        float((exact == fast).mean()),
        whole,
        mcc(everything, fast) - whole,
        (float(low), float(high)),
    )
