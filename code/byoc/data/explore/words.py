"""How often each word occurs, in memory that is bounded."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

MOST = 200_000
"""Different words that are told apart; those that come later are counted as one."""

_WORD = re.compile(r"\w+")


class Vocabulary:
    """Occurrences of words: runs of letters, digits and underscores of texts in lower case."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.others = 0

    def add(self, words: Iterable[str]) -> None:
        if len(self.counts) < MOST:
            self.counts.update(words)
            return
        for word in words:
            if word in self.counts:
                self.counts[word] += 1
            else:
                self.others += 1

    @property
    def total(self) -> int:
        return self.counts.total() + self.others

    def without(self, part: Vocabulary) -> Vocabulary:
        rest = Vocabulary()
        rest.counts = self.counts - part.counts
        rest.others = max(0, self.others - part.others)
        return rest


def words_of(normalised: str) -> list[str]:
    return _WORD.findall(normalised)


def distance(one: Vocabulary, other: Vocabulary) -> float:
    """Jensen-Shannon distance (root of the divergence, base 2) of the two distributions of words:
    0 where they are the same, 1 where they share no word."""
    first, second = one.total or 1, other.total or 1
    divergence = 0.0
    for word in one.counts.keys() | other.counts.keys():
        p, q = one.counts[word] / first, other.counts[word] / second
        middle = (p + q) / 2
        divergence += sum(x * math.log2(x / middle) for x in (p, q) if x) / 2
    return math.sqrt(max(0.0, divergence))


def unseen(of: Vocabulary, known: Vocabulary) -> float:
    """The share of the words' occurrences whose word ``known`` has not."""
    strange = sum(count for word, count in of.counts.items() if word not in known.counts)
    return (strange + of.others) / (of.total or 1)
