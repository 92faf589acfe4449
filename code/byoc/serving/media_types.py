"""Content-Type and Accept headers: which form a body has, and which one its reply gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache

from byoc.serving.faults import RequestFault

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
PLAIN = "text/plain"
TAKEN = (JSON, JSON_LINES, CSV, PLAIN)
PRODUCED = (JSON, JSON_LINES, CSV)

_ALIASES = {
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/ndjson": JSON_LINES,
    "application/csv": CSV,
}
_CHARSETS = {
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
}

KEPT = 256
"""Headers whose meaning is kept: a caller sends the same ones with each request."""


@dataclass(frozen=True)
class MediaType:
    """``name``: one of the constants above, or what else was sent, in small letters."""

    name: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def encoding(self) -> str:
        """Python's name of the charset; raises ``RequestFault`` 415 for one that is not taken."""
        charset = self.options.get("charset", "utf-8").lower()
        if charset not in _CHARSETS:
            raise RequestFault(415, f"charset {shown(charset)} is not supported: send UTF-8")
        return _CHARSETS[charset]

    @property
    def has_header(self) -> bool:
        """``header=present``, as RFC 4180 names it."""
        return self.options.get("header", "").lower() == "present"


@lru_cache(KEPT)
def parse(header: str) -> MediaType:
    """A Content-Type header; JSON where there is none."""
    name, *options = header.split(";")
    pairs = (option.partition("=") for option in options)
    values = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
    plain = name.strip().lower() or JSON
    return MediaType(_ALIASES.get(plain, plain), values)


def taken(header: str) -> MediaType:
    """As ``parse``; raises ``RequestFault`` 415 for what is not taken."""
    found = parse(header)
    if found.name in TAKEN:
        return found
    choice = ", ".join(TAKEN)
    if "npy" in found.name or "pickle" in found.name:
        raise RequestFault(
            415, f"{shown(found.name)} is refused, as it may carry code: send {choice}"
        )
    raise RequestFault(415, f"Content-Type {shown(found.name)} is not supported: send {choice}")


@lru_cache(KEPT)
def chosen(accept: str, default: str) -> MediaType:
    """The produced type that an Accept header likes best, with the options that it names.

    ``default``: of types that it likes as much, and where there is no header. Raises
    ``RequestFault`` 406 where it likes none.
    """
    if not accept.strip():
        return MediaType(default)
    ranges = [_range(text) for text in accept.split(",") if text.strip()]
    best: tuple[tuple[float, int, bool], MediaType] | None = None
    for name in PRODUCED:
        matches = [(_closeness(it, name), place, it) for place, it in enumerate(ranges)]
        closest = max(matches, key=lambda match: (match[0], -match[1]), default=None)
        if closest is None or closest[0] == 0:
            continue
        _, place, found = closest
        quality = _quality(found)
        rank = (quality, -place, name == default)
        if quality > 0 and (best is None or rank > best[0]):
            best = rank, MediaType(name, found.options)
    if best is None:
        choice = ", ".join(PRODUCED)
        raise RequestFault(406, f"Accept {shown(accept)} is not supported: replies are {choice}")
    return best[1]


def shown(text: str) -> str:
    """What the caller sent, short enough to be shown back."""
    return json.dumps(text if len(text) <= 60 else text[:57] + "...")


def _range(text: str) -> MediaType:
    found = parse(text)
    return MediaType("*/*", found.options) if found.name == "*" else found


def _closeness(wanted: MediaType, name: str) -> int:
    """How closely a range of an Accept header names a type; 0: not at all."""
    if wanted.name == name:
        return 3
    if wanted.name == name.split("/")[0] + "/*":
        return 2
    return 1 if wanted.name == "*/*" else 0


def _quality(wanted: MediaType) -> float:
    """Its q-value; 1 where it has none, or one that is no number."""
    try:
        return min(1.0, max(0.0, float(wanted.options.get("q", "1"))))
    except ValueError:
        return 1.0
