"""Lines of the log, each written in one piece: several processes share stdout and stderr."""

from __future__ import annotations

import sys
from typing import TextIO


def line(text: str, stream: TextIO | None = None) -> None:
    """To stderr, unless told otherwise."""
    stream = stream or sys.stderr
    stream.write(f"{text}\n")
    stream.flush()


def say(text: str) -> None:
    """What `serve` tells of itself."""
    line(f"serve: {text}")
