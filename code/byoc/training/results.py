"""Writes what a job leaves in output/data/ beside the model: metrics, predictions, pictures."""

from __future__ import annotations

import csv
from pathlib import Path

from byoc.training.calibration import calibration
from byoc.training.faults import TrainingFault, reason
from byoc.training.files import whole, write_json, write_jsonl
from byoc.training.outcome import Outcome, Scored
from byoc.training.pictures import pictures

MOST_COLUMNS = 100
"""Up to so many classes the predictions have a column for each one's probability."""


def write(outcome: Outcome, folder: Path) -> None:
    """metrics.json and metrics.jsonl; of each split that was scored its predictions, confusion
    matrix and calibration; pictures.

    Raises ``TrainingFault`` where they cannot be written. A picture that cannot be drawn is no
    fault.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "metrics.json", outcome.record)
        write_jsonl(folder / "metrics.jsonl", outcome.history.records())
        if outcome.scored:
            _write_summaries(outcome, folder)
        for split, scored in outcome.scored.items():
            _write_predictions(folder / f"{split}_predictions.csv", outcome, split, scored)
            _write_matrix(folder / f"{split}_confusion_matrix.csv", outcome, scored)
        for name, content in pictures(outcome).items():
            with whole(folder / name, "wb") as stream:
                stream.write(content)
    except OSError as error:
        raise TrainingFault(f"cannot write the results to {folder}: {reason(error)}") from error


def _write_summaries(outcome: Outcome, folder: Path) -> None:
    matrices = {
        split: scored.confusion_matrix().tolist() for split, scored in outcome.scored.items()
    }
    names = outcome.splits.names
    write_json(folder / "confusion_matrix.json", {"labels": names, **matrices})
    found = {
        split: calibration(scored.probabilities, scored.labels).to_json()
        for split, scored in outcome.scored.items()
    }
    write_json(folder / "calibration.json", found)


def _write_matrix(path: Path, outcome: Outcome, scored: Scored) -> None:
    """A line for each label, a column for each prediction."""
    names = outcome.splits.names
    with whole(path) as stream:
        writer = csv.writer(stream)
        writer.writerow(("label", *names))
        for name, counts in zip(names, scored.confusion_matrix().tolist(), strict=True):
            writer.writerow((name, *counts))


def _write_predictions(path: Path, outcome: Outcome, split: str, scored: Scored) -> None:
    """A line for each row, in order; the texts come from the channel again, not from memory."""
    names = outcome.splits.names
    has_pairs = bool(outcome.config.text_pair_column)
    shown = names if len(names) <= MOST_COLUMNS else []
    columns = ["row", "text", *(["text_pair"] if has_pairs else []), "label", "prediction", "score"]
    with whole(path) as stream:
        writer = csv.writer(stream)
        writer.writerow((*columns, *(f"probability_{name}" for name in shown)))
        rows = zip(
            outcome.splits.examples(split), scored.predictions, scored.probabilities, strict=True
        )
        for number, (example, best, probabilities) in enumerate(rows, start=1):
            texts = (example.text, example.pair) if has_pairs else (example.text,)
            scores = (f"{value:.6f}" for value in probabilities[: len(shown)])
            said = (names[example.label], names[best], f"{probabilities[best]:.6f}")
            writer.writerow((number, *texts, *said, *scores))
