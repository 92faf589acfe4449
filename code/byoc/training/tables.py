"""A channel as one table of texts and labels, read anew whenever its rows are wanted.

A table has a text column and a label column, named in a header; CoLA's own raw form (four columns
of tab-separated text: source, label, mark, sentence; no header) is recognized. Labels are kept as
strings: ``1``, ``1.0`` in a parquet file of floats and ``true`` are the file's business.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from byoc.training.faults import TrainingFault
from byoc.training.readers import READERS, Block, Columns, blocks, is_raw_cola

MOST_LABELS = 1000


class Row(NamedTuple):
    text: str
    pair: str | None
    label: str


@dataclass(frozen=True)
class Table:
    """Files in the order of their names; what one reading of them told is kept, not the texts.

    ``labels`` by first appearance, ``numbers`` the place in it of each row's label, ``digest`` of
    all rows in their order.
    """

    files: tuple[Path, ...]
    columns: Columns
    labels: list[str]
    numbers: array[int]
    digest: bytes
    is_raw_cola: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[Row]:
        """Reads the files again.

        Raises ``TrainingFault`` where they are not what they were.
        """
        known, size = set(self.labels), 0
        for path in self.files:
            for block in blocks(path, self.columns):
                texts, pairs, labels = checked(path, block)
                size += len(texts)
                if size > len(self) or not known.issuperset(labels):
                    raise TrainingFault(f"{path} changed while it was read")
                yield from map(Row, texts, pairs or repeat(None), labels)
        if size < len(self):
            raise TrainingFault(f"{path.parent} has fewer rows than when it was read before")

    def counts(self) -> dict[str, int]:
        """Rows by label."""
        found = Counter(self.numbers)
        return {label: found[place] for place, label in enumerate(self.labels)}


def read_channel(directory: Path, columns: Columns) -> Table:
    """All tables under ``directory``, as one; every row is looked at.

    Raises ``TrainingFault`` that names the channel, the file and, where there is one, the line.
    """
    channel = directory.name
    if not directory.is_dir():
        raise TrainingFault(
            f"channel {channel} is missing: there is no folder {directory}; add it to the job"
        )
    files = tuple(path for path in sorted(directory.rglob("*")) if is_data(path, directory))
    if not files:
        raise TrainingFault(
            f"channel {channel} holds no table: put {', '.join(READERS)} files in {directory}"
        )
    labels: dict[str, int] = {}
    numbers, digest = array("H"), _Digest()
    for path in files:
        before = len(numbers)
        for block in blocks(path, columns):
            texts, pairs, names = checked(path, block)
            for name in names:
                labels.setdefault(name, len(labels))
            if len(labels) > MOST_LABELS:
                raise TrainingFault(
                    f"channel {channel} has more than {MOST_LABELS} different labels in its first "
                    f"{len(numbers) + len(names)} rows: is label-column the right one?"
                )
            numbers.extend(map(labels.__getitem__, names))
            digest.add(texts, pairs, names)
        if len(numbers) == before:
            raise TrainingFault(f"{path} has a header but no rows")
    raw_cola = all(is_raw_cola(path, columns) for path in files)
    return Table(files, columns, list(labels), numbers, digest.digest(), raw_cola)


def label_set(labels: Iterable[str]) -> list[str]:
    """The distinct labels in a stable order: by number where all are numbers, else by name."""
    distinct = sorted(set(labels))
    try:
        values = {label: float(label) for label in distinct}
    except ValueError:
        return distinct
    # NaN is a number without a place among numbers, and a fair name of a class.
    return (
        sorted(distinct, key=values.__getitem__)
        if all(map(math.isfinite, values.values()))
        else distinct
    )


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
    if len(known) == len(train):
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


def held_out(table: Table, fraction: float, seed: int) -> bytearray:
    """1 for each row that goes to validation: ``fraction`` of each class, at least one row of it.

    The rows of a class are drawn in one pass over them, each with the chance that is left (Knuth's
    algorithm S), so that nothing but this mask is held. Raises ``TrainingFault`` where a class has
    one row only.
    """
    from random import Random

    left = list(table.counts().values())
    if 1 in left:
        raise TrainingFault(
            f"label {table.labels[left.index(1)]!r} has one row only: no validation rows can be "
            "split off; give a validation channel or more rows"
        )
    wanted = [min(count - 1, max(1, round(count * fraction))) for count in left]
    mask = bytearray(len(table))
    random = Random(seed).random  # noqa: S311
    for row, label in enumerate(table.numbers):
        if random() * left[label] < wanted[label]:
            mask[row] = 1
            wanted[label] -= 1
        left[label] -= 1
    return mask


def is_data(path: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
    return not hidden and path.is_file() and path.suffix.lower() in READERS


def checked(path: Path, block: Block) -> tuple[list[str], list[str] | None, list[str]]:
    """Texts, pairs and labels, none of them missing or blank, and all of them text.

    Raises ``TrainingFault`` with file and line.
    """
    texts = _present(path, block, block.texts, "the text is empty")
    labels = _present(path, block, block.labels, "the label is missing")
    if block.pairs is None:
        return texts, None, list(map(str.strip, labels))
    pairs = _present(path, block, block.pairs, "the text pair is empty")
    return texts, pairs, list(map(str.strip, labels))


def _present(path: Path, block: Block, column: Sequence[str | None], missing: str) -> list[str]:
    values = [value for value in column if value]
    if len(values) < len(column) or not all(map(str.strip, values)):
        bad = next(place for place, value in enumerate(column) if not (value or "").strip())
        raise TrainingFault(f"{path}, line {block.numbers[bad]}: {missing}")
    try:
        "".join(values).encode()
    except UnicodeEncodeError:  # JSON may carry them ("\\ud800")
        bad = next(place for place, value in enumerate(values) if not _is_unicode(value))
        raise TrainingFault(
            f"{path}, line {block.numbers[bad]}: half of a surrogate pair, which is no text"
        ) from None
    return values


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


class _Digest:
    """Of columns that come in parts; where the parts end makes no difference.

    Texts may hold any character, so that only their lengths tell where each ends.
    """

    def __init__(self) -> None:
        self._columns = [(sha256(), sha256()) for _ in range(3)]

    def add(self, *columns: Sequence[str] | None) -> None:
        for (texts, lengths), column in zip(self._columns, columns, strict=True):
            texts.update("".join(column or ()).encode())
            lengths.update(array("Q", map(len, column or ())).tobytes())

    def digest(self) -> bytes:
        whole = sha256()
        for texts, lengths in self._columns:
            whole.update(texts.digest() + lengths.digest())
        return whole.digest()
