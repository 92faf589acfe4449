"""Writes files that are whole under their names, or not there at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def whole(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A stream to a file that gets its name when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with partial.open(mode, encoding=encoding, newline=newline) as stream:
            yield stream
        # Serving may run as another user, and the umask of this one may be anything.
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    with whole(path) as stream:
        json.dump(finite(content), stream, indent=2, allow_nan=False)
        stream.write("\n")


def write_jsonl(path: Path, records: list[dict[str, float]]) -> None:
    """One record a line."""
    with whole(path) as stream:
        for record in records:
            stream.write(json.dumps(finite(record), allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """``value`` with ``None`` for what JSON has no word for: nan and the infinities."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
