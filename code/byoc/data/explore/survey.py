"""Reads a data set once and says what is in it: one plain dict (docs/guide/explore.md)."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from byoc import __version__
from byoc.data import duplicates, texts
from byoc.data.duplicates import conflicts
from byoc.data.explore import pieces
from byoc.data.explore.characters import Odd
from byoc.data.explore.drift import drift
from byoc.data.explore.lengths import MAX_LENGTHS, lengths_of
from byoc.data.explore.suggestion import suggestion
from byoc.data.explore.tally import Tally
from byoc.data.rows import COLUMNS, Rows, read
from byoc.data.sources import SPLITS, Source, find
from byoc.launch.errors import LaunchError
from byoc.launch.hub import HubData
from byoc.training.readers import Columns
from byoc.training.tables import MOST_LABELS, label_set

Report = dict[str, Any]

VERSION = 1
AHEAD = 3
"""Blocks whose word pieces are counted while the next ones are read."""
SHOWN = 5
"""Texts that are shown of each kind."""


@dataclass(frozen=True)
class Options:
    """``model``: whose word pieces: a folder, a Hub name, ``scratch``; None: none."""

    columns: Columns = COLUMNS
    model: str | None = None
    skip_empty: bool = False


def _silent(_rows: int) -> None:
    pass


def explore(
    data: str,
    options: Options = Options(),
    hub: HubData | None = None,
    tick: Callable[[int], None] = _silent,
) -> Report:
    """The report of DATA. Memory grows with rows by some 130 bytes each, never with their texts.

    ``tick`` is called with how many more rows have been read. Raises ``LaunchError`` with file and
    line.
    """
    with tempfile.TemporaryDirectory(prefix="byoc-data-") as name:
        source = find(data, options.columns, Path(name), hub)
        counted = None
        if options.model:
            counted = pieces.load(options.model, source, options.columns, options.skip_empty)
        survey = Survey(source, options, counted, tick)
        survey.read()
        return survey.report()


class Survey:
    """One reading of all splits; held out ones first, as their sizes say how large a sample of
    train must be to stand beside them."""

    def __init__(
        self,
        source: Source,
        options: Options,
        counted: pieces.Pieces | None,
        tick: Callable[[int], None],
    ) -> None:
        self.source, self.pieces = source, counted
        self.tallies: dict[str, Tally] = {}
        self.odd = Odd()
        self.skipped = 0
        self._options, self._tick = options, tick
        self._places: dict[str, int] = {}

    def read(self) -> None:
        for split in sorted(self.source.files, key=SPLITS.index, reverse=True):
            tally = Tally(split, self._places, self._stride() if split == "train" else 0)
            self.tallies[split] = tally
            with ThreadPoolExecutor(1) as pool:
                pending: deque[Future[Any]] = deque()
                for rows in self._rows(split):
                    if self.pieces:
                        pending.append(pool.submit(self.pieces.lengths, rows))
                    self._add(tally, rows)
                    while len(pending) > AHEAD:
                        tally.add_pieces(pending.popleft().result())
                while pending:
                    tally.add_pieces(pending.popleft().result())

    def _rows(self, split: str) -> Iterator[Rows]:
        return read(self.source.files[split], self._options.columns, self._options.skip_empty)

    def _add(self, tally: Tally, rows: Rows) -> None:
        tally.add(rows)
        if len(self._places) > MOST_LABELS:
            raise LaunchError(
                f"{rows.path} has more than {MOST_LABELS} different labels: is "
                f"{self._options.columns.label!r} the right column? (--label-column)"
            )
        self.odd.add(rows.texts, tally.split, rows.numbers)
        if rows.pairs is not None:
            self.odd.add(rows.pairs, tally.split, rows.numbers)
        self.skipped += rows.skipped
        self._tick(len(rows.texts))

    def _stride(self) -> int:
        """Such that the sample has about as many rows as the smallest split that is held out; by
        the files' sizes, as nobody has counted train yet."""
        if not self.tallies:
            return 0
        smallest = min(self.tallies.values(), key=len)
        sizes = {
            split: sum(path.stat().st_size for path in self.source.files[split])
            for split in ("train", smallest.split)
        }
        return max(2, round(sizes["train"] / max(1, sizes[smallest.split])))

    def report(self) -> Report:
        splits = {split: self.tallies[split] for split in SPLITS if split in self.tallies}
        rows = {split: len(tally) for split, tally in splits.items()}
        lengths = {
            split: lengths_of(tally, self.pieces is not None) for split, tally in splits.items()
        }
        train = splits["train"]
        return {
            "version": VERSION,
            "made_by": f"byoc {__version__}",
            "data": self.source.name,
            "notes": list(self.source.notes),
            "rows": rows,
            "skipped": self.skipped,
            "pieces": self._pieces_record(),
            "labels": self._labels(splits),
            "lengths": lengths,
            "max_lengths": list(MAX_LENGTHS),
            "duplicates": self._duplicates(splits),
            "odd_characters": self.odd.report(),
            "examples": {split: tally.extremes() for split, tally in splits.items()},
            "drift": {
                split: drift(train, tally) for split, tally in splits.items() if split != "train"
            },
            "suggestion": suggestion(train, self.pieces),
        }

    def _pieces_record(self) -> dict[str, Any] | None:
        return {"of": self.pieces.name, "limit": self.pieces.limit} if self.pieces else None

    def _labels(self, splits: dict[str, Tally]) -> dict[str, dict[str, int]]:
        counts = {
            split: np.bincount(tally.labels, minlength=len(self._places))
            for split, tally in splits.items()
        }
        return {
            split: {label: int(found[self._places[label]]) for label in label_set(self._places)}
            for split, found in counts.items()
        }

    def _duplicates(self, splits: dict[str, Tally]) -> dict[str, Any]:
        exact = texts.numbered(np.concatenate([tally.exact for tally in splits.values()]))
        normalised = texts.numbered(np.concatenate([tally.normalised for tally in splits.values()]))
        labels = np.concatenate([tally.labels for tally in splits.values()])
        places = np.concatenate(
            [np.full(len(tally), SPLITS.index(split), np.int8) for split, tally in splits.items()]
        )
        counts = np.bincount(normalised)
        often = [int(place) for place in np.argsort(-counts, kind="stable")[:SHOWN]]
        torn = conflicts(normalised, labels)
        torn = torn[np.argsort(-counts[torn], kind="stable")][:SHOWN]
        wanted = {
            "repeated": [place for place in often if counts[place] > 1],
            "conflicts": [int(place) for place in torn],
        }
        shown = self._texts_of(normalised, {place for found in wanted.values() for place in found})
        return duplicates.count(exact, normalised, labels, places) | {
            name: [
                {
                    "text": shown[place],
                    "rows": int(counts[place]),
                    "labels": self._labels_of(labels[normalised == place]),
                }
                for place in found
            ]
            for name, found in wanted.items()
        }

    def _labels_of(self, labels: Any) -> dict[str, int]:
        counts = np.bincount(labels, minlength=len(self._places))
        return {label: int(counts[place]) for label, place in self._places.items() if counts[place]}

    def _texts_of(self, numbers: texts.Ids, wanted: set[int]) -> dict[int, str]:
        """The first text of each number; reads again, as texts are not kept."""
        rows = {int(np.flatnonzero(numbers == place)[0]): place for place in wanted}
        found: dict[int, str] = {}
        start = 0
        for split in SPLITS:
            for block in self._rows(split) if split in self.tallies else ():
                if len(found) == len(rows):
                    return found
                end = start + len(block.texts)
                for row in [row for row in rows if start <= row < end]:
                    found[rows[row]] = texts.visible(block.whole_texts()[row - start])
                start = end
        return found
