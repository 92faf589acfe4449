"""Predictions as JSON, JSON lines or CSV.

An entry is ``{"label", "score"}``, a list of those (top_k), a list of either (batch transform's
documents) or ``{"error"}``. No reply ends in a line feed: SageMaker's AssembleWith=Line puts one
after each.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from byoc.serving.media_types import CSV, JSON_LINES, MediaType

_HEADER = ("label", "score")


def body(predictions: Any, kind: MediaType) -> bytes:
    """A reply's body; ``kind.has_header``: CSV begins with the columns' names."""
    if kind.name == JSON_LINES:
        return "\n".join(map(_json, _entries(predictions))).encode()
    if kind.name == CSV:
        return _csv(_entries(predictions), has_header=kind.has_header).encode()
    return _json(predictions).encode()


def _entries(predictions: Any) -> list[Any]:
    """What a user's own predict_fn returns may be no list."""
    return predictions if isinstance(predictions, list) else [predictions]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _csv(entries: list[Any], *, has_header: bool) -> str:
    """``label,score`` a line, ``label,score,label,score`` for two, ``,,message`` for an error."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if has_header:
        writer.writerow(_HEADER)
    for entry in entries:
        writer.writerow(_row(entry))
    return out.getvalue().removesuffix("\n")


def _row(entry: Any) -> list[Any]:
    if isinstance(entry, list):
        return [cell for part in entry for cell in _row(part)]
    if isinstance(entry, dict) and "error" in entry:
        return ["", "", entry["error"]]
    if isinstance(entry, dict) and "label" in entry:
        return [entry["label"], entry.get("score", "")]
    return [_json(entry)]
