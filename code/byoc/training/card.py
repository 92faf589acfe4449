"""The model card: README.md of the model artifact, in the form of the Hugging Face Hub."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import byoc
from byoc.training.config import SCRATCH, as_hyperparameters
from byoc.training.outcome import Outcome

PACKAGES = ("torch", "transformers", "pytorch-lightning", "tokenizers", "safetensors")
MOST_SHOWN = 20
"""Classes up to which balance and confusion matrix stand in the card."""

_USE = """This model classifies text as it was trained to by the rows described below. It answers
every text with one of its labels, also a text in another language, of another kind or of none of
the labels. Its scores are the softmax of its logits; calibration.json in the job's results says how
far they are probabilities. The metrics hold for texts that are distributed as the validation rows;
nothing is known about other texts. The model takes over what is biased in its training rows and in
the model that it started from. Where its answers bear on people, measure it on texts of that use
first."""


def card(outcome: Outcome) -> str:
    """Markdown with YAML front matter."""
    parts = [
        _front_matter(outcome),
        f"# Text classification: {_inline(', '.join(outcome.splits.names[:MOST_SHOWN]))}",
        f"Fine-tuned from {_origin(outcome)} by a training job of byoc.",
        "## Use and limits",
        _USE,
        "## Metrics",
        _metrics(outcome),
        "## Data",
        _data(outcome),
        "## Hyperparameters",
        _table(("name", "value"), as_hyperparameters(outcome.config).items()),
        "## Versions",
        _table(("", "version"), _versions(outcome)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(outcome: Outcome) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-classification"]
    if _is_hub_name(outcome.source):
        lines.append(f"base_model: {json.dumps(outcome.source)}")
    lines += ["tags:", "- text-classification", "- byoc"]
    lines += ["metrics:", "- matthews_correlation", "- accuracy", "- f1", "---"]
    return "\n".join(lines)


def _is_hub_name(source: str) -> bool:
    return source != SCRATCH and not Path(source).is_dir() and not source.startswith(("/", "."))


def _origin(outcome: Outcome) -> str:
    if outcome.source == SCRATCH:
        return "random weights (a tiny DistilBERT, its vocabulary learned from the training rows)"
    return f"`{outcome.source}`" if _is_hub_name(outcome.source) else "the job's model channel"


def _metrics(outcome: Outcome) -> str:
    if not outcome.metrics:
        return "None: the job was stopped before its first epoch ended."
    found = _table(
        ("metric", "value"), ((name, f"{value:.6g}") for name, value in outcome.metrics.items())
    )
    for split, scored in outcome.scored.items():
        if len(outcome.splits.names) <= MOST_SHOWN:
            rows = zip(outcome.splits.names, scored.confusion_matrix().tolist(), strict=True)
            found += f"\n\nConfusion matrix, {split} (rows: label; columns: prediction):\n\n"
            found += _table(("", *outcome.splits.names), ((name, *row) for name, row in rows))
    return found


def _data(outcome: Outcome) -> str:
    splits = outcome.splits
    shown = splits.names if len(splits.names) <= MOST_SHOWN else []
    rows = [
        (split, size, *(f"{count} ({count / size:.1%})" for count in splits.counts[split]))
        if shown
        else (split, size)
        for split, size in splits.sizes.items()
    ]
    table = _table(("split", "rows", *shown), rows)
    return f"{len(splits.names)} labels. Fingerprint: `{splits.fingerprint}`\n\n{table}"


def _versions(outcome: Outcome) -> list[tuple[str, str]]:
    found = [("byoc", byoc.__version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return [*found, ("precision", outcome.precision)]


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_inline(str(cell)) for cell in line)} |" for line in lines)


def _inline(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
