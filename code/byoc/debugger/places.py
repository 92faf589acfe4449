"""Finds what a debugged job has left, wherever in a folder it lies."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc import archive
from byoc.debugger.layout import FACTS, FRAMEWORK, HISTORY, INCREMENTAL, PEVENTS, SYSTEM

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
    """``system`` and ``framework``: the folders that hold these two; often the same."""

    tensors: Path | None = None
    system: Path | None = None
    framework: Path | None = None
    facts: Path | None = None
    history: Path | None = None
    metrics: Path | None = None
    held: Any = None

    def add(self, other: Found) -> None:
        """Takes what ``other`` has and this lacks."""
        for name, value in vars(other).items():
            if getattr(self, name) is None:
                setattr(self, name, value)


def find(folder: Path) -> Found:
    """Raises ``RunError`` where the folder is missing, or its archive cannot be unpacked."""
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder")
    found = _look(folder)
    packed = None if found.facts or found.history else _archive(folder)
    if packed is not None:
        found.add(_unpacked(packed))
    elif found.history is None:
        # The debugger folder itself: the job's own results lie beside it.
        found.add(Found(**_results(folder.parent)))
    return found


def _unpacked(packed: Path) -> Found:
    held = tempfile.TemporaryDirectory(prefix="byoc-debug-", ignore_cleanup_errors=True)
    folder = Path(held.name) / "output"
    try:
        archive.unpack(packed, folder)
    except archive.ArchiveError as error:
        held.cleanup()
        raise RunError(str(error)) from error
    found = _look(folder)
    found.held = held
    return found


def _look(folder: Path) -> Found:
    found = Found()
    for here, folders, files in _walk(folder):
        if found.tensors is None and all(part in folders for part in _TENSOR_PARTS):
            found.tensors = here
        if SYSTEM in folders and (here / SYSTEM / INCREMENTAL).is_dir():
            found.add(Found(system=here))
        if FRAMEWORK in folders and _has_phases(here / FRAMEWORK):
            found.add(Found(framework=here))
        if found.facts is None and FACTS in files:
            found.facts = here / FACTS
        if found.history is None and HISTORY in files:
            found.add(Found(**_results(here)))
    return found


def _results(folder: Path) -> dict[str, Any]:
    """metrics.jsonl, and metrics.json where it lies beside it."""
    history, metrics = folder / HISTORY, folder / "metrics.json"
    if not history.is_file():
        return {}
    return {"history": history, **({"metrics": metrics} if metrics.is_file() else {})}


def _has_phases(framework: Path) -> bool:
    """Also of a job that has closed no file yet."""
    return (framework / PEVENTS).is_dir() or any(framework.glob("*.json.tmp"))


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
