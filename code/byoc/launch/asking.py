"""Asks an endpoint about many texts: in requests of several, some at a time, answers in order."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from byoc.launch.endpoints import Prediction
from byoc.launch.errors import LaunchError
from byoc.launch.runtime import Unavailable

T = TypeVar("T")

TEXTS_PER_REQUEST = 32
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try, where the endpoint has too much to do."""
_TEXTS = ("text", "sentence")
_BUSY = (
    *("ThrottlingException", "ServiceUnavailable", "ServiceUnavailableException"),
    *("ModelNotReadyException", "InternalDependencyException"),
)


def ask(
    send: Callable[[Sequence[str]], list[Prediction]], texts: Sequence[str], concurrency: int = 1
) -> list[Prediction]:
    """One prediction for each text, in their order; ``send`` asks about some of them.

    Raises ``LaunchError`` of the first request that fails for good.
    """
    parts = [
        texts[start : start + TEXTS_PER_REQUEST]
        for start in range(0, len(texts), TEXTS_PER_REQUEST)
    ]
    with ThreadPoolExecutor(max(1, concurrency)) as pool:
        found = pool.map(lambda part: _patiently(lambda: send(part)), parts)
        return [prediction for part in found for prediction in part]


def _patiently(send: Callable[[], T]) -> T:
    for pause in PAUSES:
        try:
            return send()
        except Exception as error:
            if not _is_busy(error):
                raise
        time.sleep(pause)
    return send()


def _is_busy(error: Exception) -> bool:
    answer = getattr(error, "response", {})
    code = answer.get("Error", {}).get("Code", "")
    # The container's own 503 comes wrapped: AWS answers 424, ModelError.
    is_models = code == "ModelError" and answer.get("OriginalStatusCode") == 503
    return isinstance(error, Unavailable) or code in _BUSY or is_models


def read_texts(path: Path) -> list[str]:
    """The texts of a file: a line of .txt each, a string or an object's "text" a line of .jsonl, or
    the column text or sentence of .csv and .tsv.

    Raises ``LaunchError`` naming file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            found = list(_texts(path, stream))
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"cannot read {path}: {error}") from error
    if not found:
        raise LaunchError(f"there is no text in {path}")
    return found


def _texts(path: Path, stream: Iterator[str]) -> Iterator[str]:
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        yield from _column(path, csv.DictReader(stream, delimiter="\t" if kind == ".tsv" else ","))
        return
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        if kind != ".jsonl":
            yield line.rstrip("\r\n")
            continue
        try:
            value = json.loads(line)
            text = value if isinstance(value, str) else value["text"]
        except (ValueError, TypeError, KeyError):
            text = None
        if not isinstance(text, str):
            raise LaunchError(f'{path}, line {number}: no string, and no object with "text"')
        yield text


def _column(path: Path, rows: csv.DictReader[str]) -> Iterator[str]:
    names = [name for name in _TEXTS if name in (rows.fieldnames or ())]
    if not names:
        raise LaunchError(f"{path}: its first line names no column {' or '.join(_TEXTS)}")
    for row in rows:
        if row[names[0]] is None:
            raise LaunchError(f"{path}, line {rows.line_num}: it has no {names[0]}")
        yield row[names[0]]
