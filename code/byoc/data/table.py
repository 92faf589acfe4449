"""What of a source's rows is held to split it: keys and numbers, never the texts."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from byoc.data import texts
from byoc.data.duplicates import Splits
from byoc.data.rows import read
from byoc.data.sources import SPLITS, Source
from byoc.data.splitting import Labels
from byoc.data.texts import Ids, Keys
from byoc.launch.errors import LaunchError
from byoc.training.readers import Columns
from byoc.training.tables import MOST_LABELS


@dataclass(frozen=True)
class Table:
    """All rows of all splits, in the order in which they are read.

    ``splits``, ``labels`` (places in ``names``), ``exact`` and ``normalised`` (equal where the
    texts are), ``keys`` of the normalised texts; ``groups`` (places in ``group_names``) where there
    is such a column; ``skipped``: rows left out.
    """

    splits: Splits
    labels: Labels
    names: list[str]
    exact: Ids
    normalised: Ids
    keys: Keys
    groups: Ids | None
    group_names: list[str]
    skipped: int

    def __len__(self) -> int:
        return len(self.labels)


def take(source: Source, columns: Columns, skip_empty: bool, tick: Callable[[int], None]) -> Table:
    """Reads all rows once; ``tick`` is called with how many more have been read.

    Raises ``LaunchError`` with file and line.
    """
    names: dict[str, int] = {}
    group_names: dict[str, int] = {}
    splits, labels, groups = bytearray(), array("i"), array("q")
    exact, normalised, skipped = [], [], 0
    for split, files in source.files.items():
        for rows in read(files, columns, skip_empty):
            whole = rows.whole_texts()
            exact.append(texts.keys(whole))
            normalised.append(texts.keys(map(texts.normalised, whole)))
            labels.extend(names.setdefault(label, len(names)) for label in rows.labels)
            if len(names) > MOST_LABELS:
                raise LaunchError(
                    f"{rows.path} has more than {MOST_LABELS} different labels: is "
                    f"{columns.label!r} the right column? (--label-column)"
                )
            if rows.groups is not None:
                groups.extend(group_names.setdefault(g, len(group_names)) for g in rows.groups)
            splits.extend(bytes((SPLITS.index(split),)) * len(whole))
            skipped += rows.skipped
            tick(len(whole))
    found = np.concatenate(normalised)
    return Table(
        np.frombuffer(splits, np.int8),
        np.frombuffer(labels, np.int32),
        list(names),
        texts.numbered(np.concatenate(exact)),
        texts.numbered(found),
        found,
        np.frombuffer(groups, np.int64) if columns.group else None,
        list(group_names),
        skipped,
    )
