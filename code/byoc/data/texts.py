"""When two texts are the same: exactly, or but for case, spaces and compatible characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
"""[rows, 2]: 128 bits of each text, equal where the texts are."""
Ids = npt.NDArray[np.int64]

SHOWN = 120
"""Characters of a text that are shown."""


def normalised(text: str) -> str:
    """NFKC, case folded, each run of spaces as one; punctuation stays, as labels hang on it."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def keys(texts: Iterable[str]) -> Keys:
    """A function of the texts alone: the same in every process and on every machine."""
    found = b"".join(blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(found, "<u8").reshape(-1, 2)


def numbered(found: Keys) -> Ids:
    """[rows]: equal where the keys are, from 0 up in the order of the keys."""
    order = np.lexsort((found[:, 1], found[:, 0]))
    changes = np.any(np.diff(found[order], axis=0) != 0, axis=1)
    numbers = np.empty(len(found), np.int64)
    numbers[order] = np.concatenate([np.zeros(min(1, len(found)), np.int64), np.cumsum(changes)])
    return numbers


def first_rows(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True for the first row of each number."""
    mask = np.zeros(len(numbers), np.bool_)
    mask[np.unique(numbers, return_index=True)[1]] = True
    return mask


def visible(text: str) -> str:
    """The start of a text, with what cannot be seen as \\u200b; a terminal obeys none of it."""
    cut = text[:SHOWN] + ("…" if len(text) > SHOWN else "")
    return "".join(
        character if character == "…" or character.isprintable() else _escaped(character)
        for character in cut
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
