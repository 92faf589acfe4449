"""A folder that is whole under its name, or not there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from byoc.launch.errors import LaunchError


@contextmanager
def whole_folder(target: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A folder beside ``target`` to write to; it gets that name when the block ends well.

    What a killed run left there is removed first. A folder under that name is replaced where it
    is empty or ``is_ours``. Raises ``LaunchError`` where it holds other things, where
    another process writes it, and where the disk is full or cannot be written to.
    """
    _check(target, is_ours)
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LaunchError(f"another process writes {target}: wait for it") from None
            _empty(partial)
            try:
                yield partial
                _sync(partial)
                _put(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        finally:
            os.close(lock)
    except OSError as error:
        # pyarrow's own words for an error number go round about it.
        text = os.strerror(error.errno) if error.errno else str(error)
        raise LaunchError(
            f"cannot write {target}: {text}; free some room there, or give another folder"
        ) from error


def _check(target: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raises ``LaunchError`` where what lies there must not be replaced."""
    if target.exists() and not target.is_dir():
        raise LaunchError(f"{target} is a file: give a folder")
    if target.is_dir() and any(target.iterdir()) and not is_ours(target):
        raise LaunchError(
            f"{target} holds other things, and would lose them: give a new folder, or empty it"
        )


def file_sha256(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(folder: Path) -> None:
    """To the disk, files before the folders that name them: a machine may lose its power."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put(partial: Path, target: Path) -> None:
    """Under its name; what was there before goes only now."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.chmod(0o755)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
