"""Writes what a job does when, in smdebug's timeline form (see `byoc.debugger.timeline`).

Not through smdebug's own writer: its thread dies of a full disk, and the queue before it then stops
whoever feeds it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from byoc.debugger.layout import FRAMEWORK, PEVENTS

SUFFIX = "pythontimeline.json"
TRAIN_STEP, FORWARD, BACKWARD = "Step:ModeKeys.TRAIN", "Forward", "Backward(post-forward)"
"""smdebug's words; the others are those of `byoc.debugger.run.Phases`."""

CLOSE_SECONDS, CLOSE_BYTES = 60.0, 10 << 20
"""A file is closed after so long, when it is so large, and at each full hour (UTC)."""
FLUSH_SECONDS = 1.0
DENSE_STEPS = 20_000
"""So many steps are written; of later ones every tenth: a week's job is to leave no gigabytes."""


class PhaseWriter:
    """``profiler``: the folder that framework/ is in; ``node``: algo-1, …; ``rank`` of the process.

    Every method raises ``OSError`` where the disk does.
    """

    def __init__(self, profiler: Path, node: str, rank: int = 0) -> None:
        self._folder = profiler / FRAMEWORK
        self._name = f"{rank}-{node.replace('_', '-')}_{SUFFIX}"
        self._base = round(time.time() * 1e6)
        self._numbers: dict[str, int] = {}
        self._begun: set[str] = set()
        self._lines: list[str] = []
        self._size = 0
        self._end = self._base
        self._opened = self._flushed = time.monotonic()
        self._hour = ""

    def writes(self, step: int) -> bool:
        return step < DENSE_STEPS or step % 10 == 0

    def add(self, phase: str, start: float, end: float, step: int = -1) -> None:
        """``start`` and ``end`` in seconds since 1970."""
        hour = time.strftime("%Y%m%d%H", time.gmtime(end))
        if self._begun and (hour != self._hour or self._is_full()):
            self._close()
        if not self._begun:
            self._open(hour)
        number = self._numbers.setdefault(phase, len(self._numbers))
        if phase not in self._begun:
            self._begun.add(phase)
            self._meta("process_name", number, {"name": phase})
            self._meta("process_sort_index", number, {"sort_index": number})
        where = {"step_num": str(step)} if step >= 0 else {}
        event = {
            "name": phase,
            "pid": number,
            "ph": "X",
            "ts": round(start * 1e6) - self._base,
            "dur": max(0, round((end - start) * 1e6)),
            "args": {"pid": os.getpid(), **where},
        }
        self._lines.append(json.dumps(event))
        self._end = max(self._end, round(end * 1e6))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def finish(self) -> None:
        if self._begun:
            self._close()

    @property
    def _open_file(self) -> Path:
        return self._folder / f"{self._name}.tmp"

    def _is_full(self) -> bool:
        return time.monotonic() - self._opened > CLOSE_SECONDS or self._size > CLOSE_BYTES

    def _open(self, hour: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rescue()
        self._open_file.write_text("[\n", encoding="utf-8")
        self._opened, self._hour, self._size = time.monotonic(), hour, 0
        self._meta("process_name", 0, {"start_time_since_epoch_in_micros": self._base})

    def _rescue(self) -> None:
        """What a killed run left open becomes a file: its last line may be torn."""
        with suppress(OSError):
            lines = self._open_file.read_text(encoding="utf-8", errors="replace").splitlines()
            whole = [line.rstrip(", ") for line in lines if line.rstrip().endswith(("},", "}"))]
            if whole:
                end = round(self._open_file.stat().st_mtime * 1e6)
                self._open_file.write_text("[\n" + ",\n".join(whole) + "\n]", encoding="utf-8")
                self._place(end)

    def _meta(self, name: str, number: int, arguments: dict[str, object]) -> None:
        line = {"name": name, "ph": "M", "pid": number, "args": arguments}
        self._lines.append(json.dumps(line))

    def _flush(self) -> None:
        if not self._lines:
            return
        text = ",\n".join(self._lines)
        with self._open_file.open("a", encoding="utf-8") as stream:
            stream.write(f",\n{text}" if self._size else text)
        self._size += len(text)
        self._lines = []
        self._flushed = time.monotonic()

    def _close(self) -> None:
        self._flush()
        with self._open_file.open("a", encoding="utf-8") as stream:
            stream.write("\n]")
        self._place(self._end)
        self._begun = set()

    def _place(self, end: int) -> None:
        hour = time.strftime("%Y%m%d%H", time.gmtime(end / 1e6))
        target = self._folder / PEVENTS / hour / f"{end}_{self._name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        self._open_file.replace(target)
