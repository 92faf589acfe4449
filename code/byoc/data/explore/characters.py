"""Odd characters: what copying, scraping and wrong encodings leave in a text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from byoc.data.texts import visible

EXAMPLES = 3

CONTROL = "control characters"
BREAKS = "tabs and line ends inside the text"
REPLACEMENT = "replacement characters (U+FFFD): bytes that were lost"
INVISIBLE = "invisible characters (zero width, soft hyphen, direction)"
PRIVATE = "private or unassigned characters"
SPACES = "unusual spaces"
LOOSE = "spaces at an end or in a row"
MARKUP = "HTML tags or entities"
MOJIBAKE = "UTF-8 that was read as Latin-1 or Windows-1252"
DECOMPOSED = "letters and accents apart (not NFC)"

_BREAKS = set("\t\n\r\v\f\x85\u2028\u2029")
_MARKUP = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});|</?[a-zA-Z][^<>]*>")
_MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]|\u00ef\u00bb\u00bf"
)


@lru_cache(maxsize=1 << 16)
def _kind(character: str) -> str | None:
    if character in _BREAKS:
        return BREAKS
    if character == "\ufffd":
        return REPLACEMENT
    category = unicodedata.category(character)
    if category == "Zs" and character != " ":
        return SPACES
    return {"Cc": CONTROL, "Cf": INVISIBLE, "Co": PRIVATE, "Cn": PRIVATE}.get(category)


@dataclass
class _Found:
    rows: int = 0
    characters: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)


class Odd:
    """Counts rows by what is odd in them."""

    def __init__(self) -> None:
        self._found: dict[str, _Found] = {}

    def add(self, texts: list[str], split: str, numbers: Any) -> None:
        for place, text in enumerate(texts):
            is_plain = text.isascii() and text.isprintable()
            if is_plain and not ("&" in text or "<" in text or _is_loose(text)):
                continue
            for kind, characters in _kinds(text).items():
                self._count(kind, characters, text, {"split": split, "line": int(numbers[place])})

    def _count(self, kind: str, characters: set[str], text: str, where: dict[str, Any]) -> None:
        found = self._found.setdefault(kind, _Found())
        found.rows += 1
        found.characters.update(characters)
        if len(found.examples) < EXAMPLES:
            found.examples.append({**where, "text": visible(text)})

    def report(self) -> list[dict[str, Any]]:
        """By how many rows have it; characters by their code points and names."""
        ordered = sorted(self._found.items(), key=lambda pair: (-pair[1].rows, pair[0]))
        return [
            {
                "kind": kind,
                "rows": found.rows,
                "characters": [
                    {"character": named(character), "rows": rows}
                    for character, rows in found.characters.most_common(5)
                ],
                "examples": found.examples,
            }
            for kind, found in ordered
        ]


def _is_loose(text: str) -> bool:
    return "  " in text or text[0] == " " or text[-1] == " "


def _kinds(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    if not (text.isascii() and text.isprintable()):
        for character in set(text):
            kind = _kind(character)
            if kind:
                found.setdefault(kind, set()).add(character)
        if not unicodedata.is_normalized("NFC", text):
            found[DECOMPOSED] = set()
        if _MOJIBAKE.search(text):
            found[MOJIBAKE] = set()
    if _is_loose(text):
        found[LOOSE] = set()
    if _MARKUP.search(text):
        found[MARKUP] = set()
    return found


def named(character: str) -> str:
    """U+200B ZERO WIDTH SPACE"""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
