"""Tokenized rows that jobs with the same data share: made by the first, used by all.

For trials of a tuning, whose hyperparameters differ and whose data do not. What lies under its
name is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from byoc.training.faults import TrainingFault, reason


def key(fingerprint: str, max_length: int, source: str) -> str:
    """The name of what is tokenized: rows, limit, and the tokenizer of ``source``."""
    found = [fingerprint, max_length, source, *_files(Path(source))]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32]


def _files(source: Path) -> list[str]:
    """Digests of what makes a tokenizer, where ``source`` is a folder."""
    if not source.is_dir():
        return []
    paths = [*source.glob("*token*"), *source.glob("vocab*"), source / "config.json"]
    return [
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted({*paths})
        if path.is_file()
    ]


def take(root: Path, name: str, make: Callable[[Path], None], folder: Path) -> None:
    """Shows in ``folder`` what lies in ``root`` under ``name``; ``make`` is called where there is
    nothing, by one job at a time.

    Raises ``TrainingFault`` where the folder cannot be used, and what ``make`` raises.
    """
    place = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                partial = root / f"{name}.{uuid.uuid4().hex}"
                try:
                    make(partial)
                    partial.rename(place)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        for path in place.iterdir():
            (folder / path.name).symlink_to(path)
    except OSError as error:
        raise TrainingFault(f"cannot share tokenized rows in {root}: {reason(error)}") from error
