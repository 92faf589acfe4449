"""Reads a channel's tables: .tsv, .csv, .jsonl and .parquet files, nested or not.

A table has a text column and a label column, named in a header; CoLA's own raw form (four columns
of tab-separated text: source, label, mark, sentence; no header) is recognized. Labels are kept as
strings: ``1``, ``1.0`` in a parquet file of floats and ``true`` are the file's business.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from byoc.training.faults import TrainingFault

Row = tuple[int, str | None, str | None]
"""(line or row number from 1, text, label)"""


@dataclass(frozen=True)
class Table:
    """Texts and their labels, in the order of the files' names and of their rows."""

    texts: list[str]
    labels: list[str]
    is_raw_cola: bool = False

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Columns:
    text: str
    label: str


def read_channel(directory: Path, columns: Columns) -> Table:
    """All tables under ``directory``, as one.

    Raises ``TrainingFault`` that names the channel, the file and, where there is one, the line.
    """
    channel = directory.name
    if not directory.is_dir():
        raise TrainingFault(f"channel {channel} is missing: there is no folder {directory}")
    files = [path for path in sorted(directory.rglob("*")) if _is_data(path, directory)]
    if not files:
        raise TrainingFault(
            f"channel {channel} holds no table: put {', '.join(_READERS)} files in {directory}"
        )
    texts: list[str] = []
    labels: list[str] = []
    raw_cola = True
    for path in files:
        rows, is_raw_cola = _read_file(path, columns)
        raw_cola &= is_raw_cola
        for number, text, label in rows:
            if text is None or not text.strip():
                raise TrainingFault(f"{path}, line {number}: the text is empty")
            if label is None or not label.strip():
                raise TrainingFault(f"{path}, line {number}: the label is missing")
            texts.append(text)
            labels.append(label.strip())
    return Table(texts, labels, raw_cola)


def label_set(labels: Sequence[str]) -> list[str]:
    """The distinct labels in a stable order: by number where all are numbers, else by name."""
    distinct = set(labels)
    try:
        return sorted(distinct, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(distinct)


def check_labels(train: Table, others: dict[str, Table]) -> list[str]:
    """The label set of the job.

    Raises ``TrainingFault`` where there are not two classes to tell apart, or where another
    channel holds a label that training never sees.
    """
    known = label_set(train.labels)
    if len(known) < 2:
        raise TrainingFault(
            f"channel train has one class only, {known[0]!r} in all {len(train)} rows: "
            "a classifier needs at least two"
        )
    if len(known) > 1000 or len(known) == len(train):
        raise TrainingFault(
            f"channel train has {len(known)} different labels in {len(train)} rows: "
            "is label-column the right one?"
        )
    for name, table in others.items():
        strange = [label for label in label_set(table.labels) if label not in known]
        if strange:
            raise TrainingFault(
                f"channel {name} has labels that channel train has not: "
                f"{', '.join(map(repr, strange[:5]))}; train has {', '.join(map(repr, known[:10]))}"
            )
    return known


def split(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """Training and validation parts, the latter with ``fraction`` of each class (at least one row).

    Raises ``TrainingFault`` where a class has one row only.
    """
    from random import Random

    rare = [label for label, count in Counter(table.labels).items() if count < 2]
    if rare:
        raise TrainingFault(
            f"label {rare[0]!r} has one row only: no validation rows can be split off; "
            "give a validation channel or more rows"
        )
    held_out: set[int] = set()
    random = Random(seed)  # noqa: S311
    for label in label_set(table.labels):
        rows = [row for row, found in enumerate(table.labels) if found == label]
        random.shuffle(rows)
        held_out.update(rows[: min(len(rows) - 1, max(1, round(len(rows) * fraction)))])
    kept = [row for row in range(len(table)) if row not in held_out]
    return _rows(table, kept), _rows(table, sorted(held_out))


def _rows(table: Table, rows: list[int]) -> Table:
    texts, labels = [table.texts[row] for row in rows], [table.labels[row] for row in rows]
    return Table(texts, labels, table.is_raw_cola)


def _is_data(path: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
    return not hidden and path.is_file() and path.suffix.lower() in _READERS


def _read_file(path: Path, columns: Columns) -> tuple[list[Row], bool]:
    """The file's rows, and whether it is in CoLA's raw form."""
    if path.stat().st_size == 0:
        raise TrainingFault(f"{path} is empty")
    suffix = path.suffix.lower()
    if suffix == ".tsv":
        text = _text(path)
        first = text.split("\n", 1)[0].split("\t")
        if columns.text not in first and len(first) == 4 and first[1] in ("0", "1"):
            return _read_raw_cola(path, text), True
    rows = list(_READERS[suffix](path, columns))
    if not rows:
        raise TrainingFault(f"{path} has a header but no rows")
    return rows, False


def _text(path: Path) -> str:
    """The file as text; raises ``TrainingFault`` with the line that is not UTF-8."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TrainingFault(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from None
    if not text.strip():
        raise TrainingFault(f"{path} is empty")
    # Only \n and \r\n end a line: str.splitlines would also break at U+2028 and form feeds.
    return text.replace("\r\n", "\n")


def _find(path: Path, columns: Columns, header: Sequence[str]) -> tuple[int, int]:
    """Where the two columns stand in the header."""
    for kind, name in (("text", columns.text), ("label", columns.label)):
        if name not in header:
            there = ", ".join(header[:20]) or "none"
            raise TrainingFault(
                f"{path} has no column {name!r}; there are {there} (set {kind}-column)"
            )
    return header.index(columns.text), header.index(columns.label)


def _cell(fields: Sequence[str], place: int) -> str | None:
    return fields[place] if place < len(fields) else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Non-empty lines with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _read_raw_cola(path: Path, text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in _lines(text):
        fields = line.split("\t")
        if len(fields) != 4:
            raise TrainingFault(
                f"{path}, line {number}: {len(fields)} columns where CoLA's raw form has 4"
            )
        rows.append((number, fields[3], fields[1]))
    return rows


def _read_tsv(path: Path, columns: Columns) -> Iterator[Row]:
    """Quotes are literal in tab-separated text: CoLA's sentences hold lone ones."""
    lines = _lines(_text(path))
    text, label = _find(path, columns, next(lines)[1].split("\t"))
    for number, line in lines:
        fields = line.split("\t")
        yield number, _cell(fields, text), _cell(fields, label)


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        text, label = _find(path, columns, next(reader))
        for fields in reader:
            if fields:
                yield reader.line_num, _cell(fields, text), _cell(fields, label)
    except csv.Error as error:
        raise TrainingFault(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    for number, line in _lines(_text(path)):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise TrainingFault(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise TrainingFault(f"{path}, line {number}: not a JSON object")
        if number == 1:
            _find(path, columns, list(record))
        yield number, _string(record.get(columns.text)), _string(record.get(columns.label))


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise TrainingFault(f"{path} is not a parquet file: {str(error).splitlines()[0]}") from None
    _find(path, columns, table.column_names)
    pairs = zip(table[columns.text].to_pylist(), table[columns.label].to_pylist(), strict=True)
    for number, (text, label) in enumerate(pairs, start=1):
        yield number, _string(text), _string(label)


def _string(value: object) -> str | None:
    """A label may be a number or a string; 1.0 is the label 1."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


_READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
