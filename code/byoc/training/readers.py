"""Files to rows, a block at a time: .tsv, .csv, .jsonl and .parquet.

Nothing of a file is kept, and none is held whole: memory stays flat whatever its size, and a file
that SageMaker streams (FastFile) is read from front to back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from byoc.training.faults import TrainingFault, reason

BLOCK = 1 << 17
"""Bytes of text that are read and parsed at once."""
LONGEST_LINE = 64 << 20
"""Bytes; a file without line ends is then told of, not read into memory."""
ROWS = 1024
"""Rows that a csv or parquet file gives at once."""


@dataclass(frozen=True)
class Columns:
    """Names in a table's header; ``pair`` where the texts are sentence pairs; ``group``: what
    `byoc data prepare` keeps in one split."""

    text: str
    label: str
    pair: str | None = None
    group: str | None = None


class Block(NamedTuple):
    """Consecutive rows of a file by column, unchecked; ``numbers`` are lines (parquet: rows)."""

    numbers: Sequence[int]
    texts: Sequence[str | None]
    pairs: Sequence[str | None] | None
    labels: Sequence[str | None]
    groups: Sequence[str | None] | None = None


Places = tuple[int, int, int | None, int | None]
"""Where text, label, text pair and group stand in a row."""

RAW_COLA_NAMES = ("source", "label", "mark", "sentence")


def blocks(path: Path, columns: Columns) -> Iterator[Block]:
    """The file's rows.

    Raises ``TrainingFault`` with file and line where it cannot be read as its suffix says.
    """
    try:
        if path.stat().st_size == 0:
            raise TrainingFault(f"{path} is empty")
        reader = _read_raw_cola if is_raw_cola(path, columns) else READERS[path.suffix.lower()]
        yield from reader(path, columns)
    except OSError as error:
        raise TrainingFault(f"cannot read {path}: {reason(error)}") from error


def is_raw_cola(path: Path, columns: Columns) -> bool:
    """True for CoLA's own form: source, label, mark and sentence, without a header."""
    if path.suffix.lower() != ".tsv" or columns.pair:
        return False
    with path.open("rb") as stream:
        first = stream.readline(BLOCK).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    fields = first.split("\t")
    return columns.text not in fields and len(fields) == 4 and fields[1] in ("0", "1")


def _texts(path: Path) -> Iterator[str]:
    """The file's text in blocks of whole lines; lines end in ``\\n``.

    Raises ``TrainingFault`` with the line that is not UTF-8.
    """
    line = 1
    with path.open("rb") as stream:
        while content := stream.read(BLOCK):
            content += stream.readline(LONGEST_LINE)
            ends = content.count(b"\n")
            if len(content) >= LONGEST_LINE:
                raise TrainingFault(
                    f"{path}, line {line + ends}: longer than {LONGEST_LINE >> 20} MB; is this a "
                    "table with a row in each line?"
                )
            yield _decode(path, content, line).replace("\r\n", "\n")
            line += ends


def _decode(path: Path, content: bytes, first_line: int) -> str:
    try:
        text = content.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first_line + error.object.count(b"\n", 0, error.start)
        byte = error.object[error.start]
        raise TrainingFault(
            f"{path}, line {line}: not UTF-8 (byte 0x{byte:02x}); save it as UTF-8"
        ) from None
    if first_line == 1 and not text.strip():
        raise TrainingFault(f"{path} is empty")
    return text


def _lines(path: Path) -> Iterator[tuple[Sequence[int], list[str]]]:
    """Non-empty lines with their numbers, a block at a time.

    Only \\n and \\r\\n end a line: str.splitlines would also break at U+2028 and form feeds.
    """
    first = 1
    for text in _texts(path):
        lines = text.removesuffix("\n").split("\n")
        numbers: Sequence[int] = range(first, first + len(lines))
        first += len(lines)
        if not all(map(str.strip, lines)):
            numbers = [number for number, line in zip(numbers, lines, strict=True) if line.strip()]
            lines = [line for line in lines if line.strip()]
        if lines:
            yield numbers, lines


def _find(path: Path, columns: Columns, header: Sequence[str]) -> Places:
    """In the header."""
    names = {
        "text": columns.text,
        "label": columns.label,
        "text-pair": columns.pair,
        "group": columns.group,
    }
    for kind, name in names.items():
        if name is not None and name not in header:
            there = ", ".join(header[:20]) or "none"
            raise TrainingFault(
                f"{path} has no column {name!r}; there are {there} (set {kind}-column)"
            )
    pair, group = (
        None if name is None else header.index(name) for name in (columns.pair, columns.group)
    )
    return header.index(columns.text), header.index(columns.label), pair, group


def _column(rows: list[list[str]], place: int) -> list[str | None]:
    """One field of each row; ``None`` where a row is too short."""
    try:
        return [row[place] for row in rows]
    except IndexError:
        return [row[place] if place < len(row) else None for row in rows]


def _block(numbers: Sequence[int], rows: list[list[str]], places: Places) -> Block:
    text, label, pair, group = places
    pairs, groups = (None if place is None else _column(rows, place) for place in (pair, group))
    return Block(numbers, _column(rows, text), pairs, _column(rows, label), groups)


def _read_raw_cola(path: Path, columns: Columns) -> Iterator[Block]:
    named = Columns("sentence", "label", group=columns.group)
    places = _find(path, named, RAW_COLA_NAMES)
    for numbers, lines in _lines(path):
        rows = [line.split("\t") for line in lines]
        for number, fields in zip(numbers, rows, strict=True):
            if len(fields) != 4:
                raise TrainingFault(
                    f"{path}, line {number}: {len(fields)} columns where CoLA's raw form has 4"
                )
        yield _block(numbers, rows, places)


def _read_tsv(path: Path, columns: Columns) -> Iterator[Block]:
    """Quotes are literal in tab-separated text: CoLA's sentences hold lone ones."""
    places = None
    for numbers, lines in _lines(path):
        rows = [line.split("\t") for line in lines]
        if places is None:
            places = _find(path, columns, rows[0])
            numbers, rows = numbers[1:], rows[1:]
        yield _block(numbers, rows, places)


def _read_csv(path: Path, columns: Columns) -> Iterator[Block]:
    # A text stream without newline translation, as the csv module asks for.
    lines = chain.from_iterable(io.StringIO(text, newline="") for text in _texts(path))
    reader = csv.reader(lines, strict=True)
    try:
        places = _find(path, columns, next(reader))
        while numbered := [(reader.line_num, fields) for fields in islice(reader, ROWS)]:
            found = [pair for pair in numbered if pair[1]]
            yield _block([number for number, _ in found], [fields for _, fields in found], places)
    except csv.Error as error:
        raise TrainingFault(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Block]:
    is_first = True
    for numbers, lines in _lines(path):
        records = [_record(path, number, line) for number, line in zip(numbers, lines, strict=True)]
        if is_first:
            _find(path, columns, list(records[0]))
            is_first = False
        text, pair, label, group = (
            [_string(record.get(name)) for record in records] if name else None
            for name in (columns.text, columns.pair, columns.label, columns.group)
        )
        yield Block(numbers, text or (), pair, label or (), group)


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TrainingFault(f"{path}, line {number}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise TrainingFault(f"{path}, line {number}: not a JSON object")
    return record


def _read_parquet(path: Path, columns: Columns) -> Iterator[Block]:
    import pyarrow
    from pyarrow import parquet

    try:
        # Unbuffered reading would hold a whole row group, which may be the whole file.
        with parquet.ParquetFile(path, buffer_size=BLOCK, pre_buffer=False) as table:
            _find(path, columns, table.schema_arrow.names)
            wanted = (columns.text, columns.pair, columns.label, columns.group)
            names = list(dict.fromkeys(name for name in wanted if name))
            first = 1
            for batch in table.iter_batches(batch_size=ROWS, columns=names):
                text, pair, label, group = (
                    list(map(_string, batch[name].to_pylist())) if name else None for name in wanted
                )
                yield Block(range(first, first + len(batch)), text or (), pair, label or (), group)
                first += len(batch)
    except pyarrow.ArrowException as error:
        raise TrainingFault(f"{path} is not a parquet file: {str(error).splitlines()[0]}") from None


def _string(value: object) -> str | None:
    """A label may be a number or a string; 1.0 is the label 1."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


READERS: dict[str, Callable[[Path, Columns], Iterator[Block]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
