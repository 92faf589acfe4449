"""Does an endpoint say what training said? Its answers beside the job's own predictions."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from byoc.launch import endpoints
from byoc.launch.clients import Runtime
from byoc.launch.errors import LaunchError
from byoc.scores import scores

TEXTS_PER_REQUEST = 64


@dataclass(frozen=True)
class Agreement:
    """``rows`` texts were sent; for ``same`` of them the label is training's own; ``mcc`` is the
    endpoint's, on the true labels."""

    rows: int
    same: int
    mcc: float


def measure(runtime: Runtime, endpoint: str, predictions: Path) -> Agreement:
    """Sends the texts of a job's validation_predictions.csv to an endpoint.

    Raises ``LaunchError`` where the file is not one that training wrote.
    """
    texts, labels, said = _read(predictions)
    answers: list[str] = []
    for start in range(0, len(texts), TEXTS_PER_REQUEST):
        chunk = texts[start : start + TEXTS_PER_REQUEST]
        answers += [found.label for found in endpoints.predict(runtime, endpoint, chunk)]
    same = sum(answer == training for answer, training in zip(answers, said, strict=True))
    return Agreement(len(texts), same, _mcc(labels, answers))


def _read(path: Path) -> tuple[list[str], list[str], list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = [[row[name] for row in rows] for name in ("text", "label", "prediction")]
    except (OSError, KeyError) as error:
        raise LaunchError(f"{path} does not hold a job's predictions: {error}") from error
    return columns[0], columns[1], columns[2]


def _mcc(labels: Sequence[str], answers: Sequence[str]) -> float:
    names = {name: index for index, name in enumerate(sorted({*labels, *answers}))}
    return scores([names[x] for x in labels], [names[x] for x in answers], len(names))["mcc"]
