"""What is kept of a split while its rows go by: numbers, a vocabulary, a few texts."""

from __future__ import annotations

import heapq
from array import array
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data import texts
from byoc.data.explore.words import Vocabulary, words_of
from byoc.data.rows import Rows

EXTREMES = 5

Numbers = npt.NDArray[Any]


class Tally:
    """``stride``: every so many-th row is in the sample that stands for as many rows of chance;
    0: there is no sample."""

    def __init__(self, split: str, label_places: dict[str, int], stride: int = 0) -> None:
        self.split = split
        self.vocabulary, self.sample = Vocabulary(), Vocabulary()
        self._places = label_places
        self._stride = stride
        self._labels, self._characters, self._words = array("i"), array("i"), array("i")
        self._pieces: list[Numbers] = []
        self._exact: list[texts.Keys] = []
        self._normalised: list[texts.Keys] = []
        self._shortest: list[tuple[int, int, str]] = []
        self._longest: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, rows: Rows) -> None:
        start = len(self)
        whole = rows.whole_texts()
        plain = list(map(texts.normalised, whole))
        self._labels.extend(self._places.setdefault(x, len(self._places)) for x in rows.labels)
        lengths = list(map(len, whole))
        self._characters.extend(lengths)
        words = list(map(words_of, plain))
        self._words.extend(map(len, words))
        self._exact.append(texts.keys(whole))
        self._normalised.append(texts.keys(plain))
        self.vocabulary.add(chain.from_iterable(words))
        if self._stride:
            self.sample.add(chain.from_iterable(words[-start % self._stride :: self._stride]))
        self._keep_extremes(rows, lengths, whole)

    def add_pieces(self, lengths: Numbers) -> None:
        self._pieces.append(lengths)

    def _keep_extremes(self, rows: Rows, lengths: list[int], whole: list[str]) -> None:
        """A heap of each kind; most blocks have no row that belongs there."""
        for heap, sign in ((self._longest, 1), (self._shortest, -1)):
            for place, length in enumerate(lengths):
                if len(heap) == EXTREMES and sign * length <= heap[0][0]:
                    continue
                text = texts.visible(whole[place])
                entry = (sign * length, -int(rows.numbers[place]), text)
                (heapq.heappushpop if len(heap) == EXTREMES else heapq.heappush)(heap, entry)

    @property
    def labels(self) -> Numbers:
        """[rows]: places of the labels."""
        return np.frombuffer(self._labels, np.int32)

    @property
    def characters(self) -> Numbers:
        return np.frombuffer(self._characters, np.int32)

    @property
    def word_counts(self) -> Numbers:
        return np.frombuffer(self._words, np.int32)

    @property
    def pieces(self) -> Numbers | None:
        return np.concatenate(self._pieces) if self._pieces else None

    @property
    def lengths(self) -> Numbers:
        """In word pieces, else in words."""
        found = self.pieces
        return self.word_counts if found is None else found

    @property
    def exact(self) -> texts.Keys:
        return np.concatenate(self._exact)

    @property
    def normalised(self) -> texts.Keys:
        return np.concatenate(self._normalised)

    def extremes(self) -> dict[str, list[dict[str, Any]]]:
        """The longest and the shortest texts, by characters."""
        return {
            name: [
                {"characters": abs(length), "line": -line, "text": text}
                for length, line, text in sorted(heap, reverse=True)
            ]
            for name, heap in (("longest", self._longest), ("shortest", self._shortest))
        }

    def all(self) -> tuple[Numbers, Numbers, Vocabulary]:
        return self.labels, self.lengths, self.vocabulary

    def sampled(self) -> tuple[Numbers, Numbers, Vocabulary]:
        """Labels, lengths and words of the sample."""
        return self.labels[:: self._stride], self.lengths[:: self._stride], self.sample

    def unsampled(self) -> tuple[Numbers, Numbers, Vocabulary]:
        """Of the rows that are not in it."""
        mask = np.ones(len(self), np.bool_)
        mask[:: self._stride] = False
        return self.labels[mask], self.lengths[mask], self.vocabulary.without(self.sample)
