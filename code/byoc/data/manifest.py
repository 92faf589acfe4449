"""manifest.json of a prepared data set: what is in it and how it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.training.files import write_json

NAME = "manifest.json"
VERSION = 1
"""Raised when a reader of the old form would misread the new one."""

Manifest = dict[str, Any]


def write(folder: Path, content: Manifest) -> None:
    """Whole or not at all; last of all files, as its presence says that the others are whole."""
    write_json(folder / NAME, content)


def read(folder: Path) -> Manifest | None:
    """None where there is none of ours. Raises ``LaunchError`` where it cannot be read."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaunchError(
            f"{path} cannot be read ({error}): run `byoc data prepare` again"
        ) from None
    if not isinstance(content, dict) or not str(content.get("made_by")).startswith("byoc "):
        return None
    if content.get("version") != VERSION:
        raise LaunchError(f"{path} is of another version of byoc: run `byoc data prepare` again")
    return content
