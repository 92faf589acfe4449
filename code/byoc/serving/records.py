"""Texts, or pairs of texts, out of a body's JSON, its lines or its CSV records.

A record that is not right raises ``RequestFault`` 400, naming the place and the reason.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from byoc.serving.faults import RequestFault
from byoc.serving.media_types import shown
from byoc.serving.rules import Rules

# A text may be as long as a body; the module's own limit is 131,072 characters.
csv.field_size_limit(2**31 - 1)

_KEYS = {"text", "text_pair"}


class Record(NamedTuple):
    text: str
    pair: str | None = None


class Line(NamedTuple):
    """A physical line; ``where`` it stands, for messages."""

    where: str
    text: str


def parse_json(text: str, what: str) -> Any:
    """The JSON of a body or a line; ``what`` it is, for the message."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # Where a number stands in the message it is a position, never content.
        place = f"line {error.lineno}, column {error.colno}"
        raise RequestFault(400, f"{what} is not valid JSON: {error.msg} ({place})") from None
    except (ValueError, RecursionError):
        # Digits without end, or brackets within brackets.
        raise RequestFault(400, f"{what} is not valid JSON that can be read") from None


def from_json(value: Any, where: str, rules: Rules) -> Record:
    """``"text"``, ``{"text": …, "text_pair": …}`` or ``["text", "pair"]``."""
    if isinstance(value, dict):
        unknown = sorted(set(value) - _KEYS)
        if unknown:
            raise RequestFault(400, f"{where} has the unknown key {shown(unknown[0])}: {_FORMS}")
        if "text" not in value:
            raise RequestFault(400, f"{where} has no text: {_FORMS}")
        pair = value.get("text_pair")
        _check_text(value["text"], f"{where}.text")
        if pair is not None:
            _check_text(pair, f"{where}.text_pair")
        return _checked(Record(value["text"], pair), where, rules)
    if isinstance(value, list) and len(value) == 2:
        for place, text in enumerate(value):
            _check_text(text, f"{where}[{place}]")
        return _checked(Record(value[0], value[1]), where, rules)
    _check_text(value, where)
    return _checked(Record(value), where, rules)


_FORMS = 'give a string, or an object with "text" and perhaps "text_pair"'


def from_json_line(line: Line, rules: Rules) -> Record:
    """A line of JSON lines: what ``from_json`` takes, or that under ``inputs``."""
    if not line.text.strip():
        raise RequestFault(400, f"{line.where} is empty: it must be a JSON value")
    value = parse_json(line.text, line.where)
    if isinstance(value, dict) and set(value) == {"inputs"}:
        return from_json(value["inputs"], f"{line.where}: inputs", rules)
    return from_json(value, line.where, rules)


def from_plain_line(line: Line, rules: Rules) -> Record:
    """A line of plain text: one text; for a model of pairs two, with a tab between."""
    if not rules.pairs:
        _check_text(line.text, line.where)
        return Record(line.text)
    parts = line.text.split("\t")
    if len(parts) != 2:
        raise RequestFault(400, f"{line.where}: this model takes two texts, with a tab between")
    return Record(parts[0], parts[1])


def from_csv_line(line: Line, rules: Rules) -> Record:
    """A physical line of CSV by itself: a quoted field cannot go on in the next one."""
    rows = _csv_rows([line.text], line.where)
    return _from_fields(next(rows, (1, []))[1], line.where, rules)


def from_csv(text: str, rules: Rules, *, has_header: bool) -> Iterator[Record]:
    """All records of a CSV body (RFC 4180): quoted fields may hold commas and line breaks."""
    rows = _csv_rows(io.StringIO(text, newline=""), "line")
    columns: list[int] | None = None
    if has_header:
        columns = _columns(next(rows, (1, []))[1])
    for number, fields in rows:
        where = f"line {number}"
        if columns is not None and fields:
            if max(columns) >= len(fields):
                raise RequestFault(400, f"{where} has {len(fields)} fields, fewer than the header")
            fields = [fields[column] for column in columns]
        yield _from_fields(fields, where, rules, is_named=bool(columns))


def lines(text: str, *, numbered: bool = True) -> list[Line]:
    """Physical lines, split at line feeds and nowhere else; one at the end ends the last line.

    Batch transform's have no number: a request holds some of a file's lines, nobody knows which.
    """
    found = text.split("\n")
    if len(found) > 1 and not found[-1]:
        found.pop()
    return [
        Line(f"line {number}" if numbered else "this line", line.removesuffix("\r"))
        for number, line in enumerate(found, 1)
    ]


def _csv_rows(source: Iterable[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line that it begins in."""
    reader = csv.reader(source, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"line {number}" if where == "line" else where
            raise RequestFault(400, f"{place} is not valid CSV: {error}") from None
        yield number, fields


def _from_fields(fields: list[str], where: str, rules: Rules, *, is_named: bool = False) -> Record:
    """An empty line is an empty text: one empty field is all that it can be."""
    if rules.pairs or (is_named and len(fields) == 2):
        if len(fields) != 2:
            raise RequestFault(
                400, f"{where} has {len(fields)} fields: this model takes two texts, text,text_pair"
            )
        return _checked(Record(fields[0], fields[1]), where, rules)
    if len(fields) > 1:
        raise RequestFault(
            400,
            f"{where} has {len(fields)} fields: this model takes one text a line; "
            "put a text that has commas in double quotes",
        )
    return _checked(Record(fields[0] if fields else ""), where, rules)


_TEXT_COLUMNS = ("text", "sentence", "inputs")
_PAIR_COLUMNS = ("text_pair",)


def _columns(header: list[str]) -> list[int]:
    """Where the text, and perhaps its pair, stand in the rows below a header."""
    names = [name.strip().lower() for name in header]
    texts = [names.index(name) for name in _TEXT_COLUMNS if name in names]
    if not texts and len(names) == 1:
        texts = [0]
    if not texts:
        raise RequestFault(400, "line 1: the header names no column text")
    return [texts[0], *(names.index(name) for name in _PAIR_COLUMNS if name in names)]


def _checked(record: Record, where: str, rules: Rules) -> Record:
    """Raises where the model is known to take the other kind, single texts or pairs."""
    if rules.pairs is True and record.pair is None:
        raise RequestFault(400, f"{where}: this model takes pairs: text and text_pair")
    if rules.pairs is False and record.pair is not None:
        raise RequestFault(400, f"{where}: this model takes one text, no pair")
    return record


def _check_text(text: Any, where: str) -> None:
    if not isinstance(text, str):
        raise RequestFault(400, f"{where} must be a string")
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON may carry them ("\ud800"), but they are no text.
        raise RequestFault(400, f"{where} has half of a surrogate pair") from None
