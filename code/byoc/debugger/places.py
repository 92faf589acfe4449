"""Finds what a debugged job has left, wherever in a folder it lies."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc import archive
from byoc.debugger.layout import FACTS, FRAMEWORK, HISTORY, SYSTEM

ARCHIVE = "output.tar.gz"
DEPTH = 6
"""How many folders deep is looked: JOB/output/data/debugger/profiler-output/system and a few."""

_TENSOR_PARTS = ("collections", "index")
_INSIDE = {"collections", "index", "events", "incremental", "pevents", "model", "checkpoints"}
"""Folders with thousands of files, or with none of ours."""


class RunError(Exception):
    """A folder that is no job's output; the message is one line."""


@dataclass
class Found:
    """``profiler``: the folder with system/ and framework/ in it."""

    tensors: Path | None = None
    profiler: Path | None = None
    facts: Path | None = None
    history: Path | None = None
    metrics: Path | None = None
    held: Any = None

    @property
    def is_empty(self) -> bool:
        return not (self.tensors or self.profiler or self.facts)


def find(folder: Path) -> Found:
    """Raises ``RunError`` where the folder is missing, or its archive cannot be unpacked."""
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder")
    found = _look(folder)
    packed = None if not found.is_empty else _archive(folder)
    if packed is not None:
        held = tempfile.TemporaryDirectory(prefix="byoc-debug-", ignore_cleanup_errors=True)
        try:
            archive.unpack(packed, Path(held.name) / "output")
        except archive.ArchiveError as error:
            held.cleanup()
            raise RunError(str(error)) from error
        found = _look(Path(held.name) / "output")
        found.held = held
    elif found.history is None:
        # The debugger folder itself: the job's own results lie beside it.
        for name, path in _results(folder.parent).items():
            setattr(found, name, path)
    return found


def _look(folder: Path) -> Found:
    found = Found()
    for here, folders, files in _walk(folder):
        if found.tensors is None and all(part in folders for part in _TENSOR_PARTS):
            found.tensors = here
        if found.profiler is None and _has_profiles(here, folders):
            found.profiler = here
        if found.facts is None and FACTS in files:
            found.facts = here / FACTS
        if found.history is None and HISTORY in files:
            for name, path in _results(here).items():
                setattr(found, name, path)
    return found


def _results(folder: Path) -> dict[str, Path]:
    """metrics.jsonl, and metrics.json where it lies beside it."""
    history, metrics = folder / HISTORY, folder / "metrics.json"
    if not history.is_file():
        return {}
    return {"history": history, **({"metrics": metrics} if metrics.is_file() else {})}


def _has_profiles(here: Path, folders: list[str]) -> bool:
    has_system = SYSTEM in folders and (here / SYSTEM / "incremental").is_dir()
    return has_system or (FRAMEWORK in folders and (here / FRAMEWORK / "pevents").is_dir())


def _archive(folder: Path) -> Path | None:
    return next((here / ARCHIVE for here, _, files in _walk(folder) if ARCHIVE in files), None)


def _walk(folder: Path) -> list[tuple[Path, list[str], list[str]]]:
    """Folders from the top down, each with the names of its folders and files."""
    levels = len(folder.parts)
    walked = []
    for name, folders, files in os.walk(folder):
        here = Path(name)
        walked.append((here, sorted(folders), files))
        is_deep = len(here.parts) - levels >= DEPTH
        folders[:] = [] if is_deep else sorted(set(folders) - _INSIDE)
    return walked
