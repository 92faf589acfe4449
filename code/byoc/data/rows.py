"""Rows of tables, checked as a training job checks them, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from byoc.launch.errors import LaunchError
from byoc.training.faults import TrainingFault
from byoc.training.readers import Block, Columns, blocks
from byoc.training.tables import checked

COLUMNS = Columns("sentence", "label")
"""What training looks for."""


class Rows(NamedTuple):
    """Consecutive rows of a file, by column; ``numbers`` are lines (parquet: rows); ``skipped``:
    rows without text or label that were left out."""

    path: Path
    numbers: Sequence[int]
    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    groups: list[str] | None
    skipped: int = 0

    def whole_texts(self) -> list[str]:
        """Text and text pair as one: what makes two rows the same."""
        if self.pairs is None:
            return self.texts
        return [f"{text}\x1f{pair}" for text, pair in zip(self.texts, self.pairs, strict=True)]


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with a table, as a failure of the command."""
    try:
        yield
    except TrainingFault as fault:
        text = str(fault)
        for name in ("text", "label", "text-pair", "group"):
            text = text.replace(f"(set {name}-column)", f"(set --{name}-column)")
        if text.endswith((" is empty", " is missing")) and ", line " in text:
            text += "; fill it in, or leave such rows out with --skip-empty"
        raise LaunchError(text) from None


def read(files: Sequence[Path], columns: Columns, skip_empty: bool = False) -> Iterator[Rows]:
    """All rows of ``files`` in their order.

    ``skip_empty``: rows without text or label are left out, else they are a fault. Raises
    ``LaunchError`` with file and line, and where a file has no rows.
    """
    with told():
        for path in files:
            count = 0
            for block in blocks(path, columns):
                kept, skipped = _kept(block) if skip_empty else (block, 0)
                texts, pairs, labels = checked(path, kept)
                count += len(texts)
                groups = None if kept.groups is None else [group or "" for group in kept.groups]
                yield Rows(path, kept.numbers, texts, pairs, labels, groups, skipped)
            if not count:
                raise LaunchError(f"{path} has a header but no rows that can be used")


def _kept(block: Block) -> tuple[Block, int]:
    """Without the rows that have no text, no label or no text pair."""
    columns = [block.texts, block.labels] + ([block.pairs] if block.pairs is not None else [])
    mask = [all(value and value.strip() for value in row) for row in zip(*columns, strict=True)]
    if all(mask):
        return block, 0
    pairs, groups = (
        None if column is None else list(compress(column, mask))
        for column in (block.pairs, block.groups)
    )
    texts, labels = (list(compress(column, mask)) for column in (block.texts, block.labels))
    numbers = list(compress(block.numbers, mask))
    return Block(numbers, texts, pairs, labels, groups), len(mask) - len(texts)
