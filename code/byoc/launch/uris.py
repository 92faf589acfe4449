"""file:// URIs, which the clients on this machine take where AWS takes s3://."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from byoc.launch.errors import LaunchError


def to_uri(path: Path) -> str:
    """file:///ABSOLUTE/PATH as the SDK reads it: not percent-encoded."""
    return f"file://{path.absolute()}"


def to_path(uri: str, what: str) -> Path:
    """The path of a file:// URI; raises ``LaunchError`` for any other, naming ``what`` it is."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise LaunchError(f"{what} is {uri!r}: here it must be a file:// URI")
    path = Path(uri.removeprefix("file://"))
    return path if path.exists() else Path(unquote(str(path)))


def stage(source: Path, folder: Path) -> None:
    """Makes ``folder`` show what ``source`` (a file or a folder) holds, without changing it.

    Files are hard links where the file system allows, else copies: a container sees them too,
    which it would not through symbolic links. Raises ``LaunchError`` where there is nothing.
    """
    if source.is_file():
        files = [(source, Path(source.name))]
    elif source.is_dir():
        files = [(path, path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
    else:
        raise LaunchError(f"there is no file or folder {source}")
    folder.mkdir(parents=True)
    for path, name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), target)
        except OSError:
            shutil.copy2(path, target)
