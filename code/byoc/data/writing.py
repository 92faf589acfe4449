"""Splits as Parquet files, with the column names that training looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.rows import Rows
from byoc.data.sources import SPLITS
from byoc.launch.errors import LaunchError

TEXT, PAIR, LABEL = "sentence", "sentence_pair", "label"
GROUP_ROWS = 8192
"""Rows of a row group: training reads one at a time."""

Columns = dict[str, list[str]]


class _Writer:
    """One file; rows are gathered until they fill a row group, so that the file's bytes do not
    depend on where the blocks of the source end."""

    def __init__(self, path: Path, names: list[str]) -> None:
        import pyarrow
        from pyarrow import parquet

        path.parent.mkdir()
        self._schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: Columns = {name: [] for name in names}

    def add(self, columns: dict[str, Any]) -> None:
        for name, values in columns.items():
            self._rows[name] += values
        while len(self._rows[LABEL]) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        group = {name: values[:GROUP_ROWS] for name, values in self._rows.items()}
        self._rows = {name: values[GROUP_ROWS:] for name, values in self._rows.items()}
        self._file.write_table(pyarrow.table(group, schema=self._schema))

    def close(self) -> None:
        if self._rows[LABEL]:
            self._flush()
        self._file.close()

    def abandon(self) -> None:
        """After a failure, which closing would only repeat in other words."""
        with suppress(Exception):
            self._file.close()


def write(
    rows: Iterator[Rows],
    splits: npt.NDArray[np.int8],
    folder: Path,
    group: str | None,
    tick: Callable[[int], None],
) -> None:
    """FOLDER/SPLIT/SPLIT.parquet for every split that has rows: ``splits`` has the place of each
    row's split in ``SPLITS``, -1 where it is left out.

    ``group``: the name of the column of groups. Raises ``LaunchError`` where the source has
    changed since the splits were made, OSError where the disk is full.
    """
    writers: dict[int, _Writer] = {}
    try:
        start = 0
        for block in rows:
            places = splits[start : start + len(block.texts)]
            if len(places) < len(block.texts):
                raise LaunchError(f"{block.path} changed while it was read: run it again")
            _deal(_columns(block, group), places, writers, folder)
            start += len(places)
            tick(len(places))
        if start < len(splits):
            raise LaunchError("the tables have lost rows since they were read: run it again")
        for writer in writers.values():
            writer.close()
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise


def _deal(
    columns: Columns, places: npt.NDArray[np.int8], writers: dict[int, _Writer], folder: Path
) -> None:
    for place in sorted(set(places.tolist()) - {-1}):
        if place not in writers:
            path = folder / SPLITS[place] / f"{SPLITS[place]}.parquet"
            writers[place] = _Writer(path, list(columns))
        chosen = np.flatnonzero(places == place).tolist()
        writers[place].add(
            {name: [values[row] for row in chosen] for name, values in columns.items()}
        )


def _columns(block: Rows, group: str | None) -> Columns:
    columns = {TEXT: block.texts}
    if block.pairs is not None:
        columns[PAIR] = block.pairs
    columns[LABEL] = block.labels
    if group and block.groups is not None:
        columns[group if group not in columns else "group"] = block.groups
    return columns
