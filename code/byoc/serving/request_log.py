"""One JSON object a line for each request, from the front's own line; nothing of its text.

The front writes into a FIFO, so that it never waits for whoever reads the container's log: a
thread here reads it, counts, and prints.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from byoc.serving import log
from byoc.serving.metrics import Metrics
from byoc.serving.state import State

KNOWN_PATHS = ("/invocations", "/ping", "/execution-parameters", "/openapi.json", "/models")

GATHER = 0.01
"""Seconds for which lines gather: each wakes `serve`, and whoever reads the container's log."""


class RequestLog:
    """Reads from construction on, in a thread that ends with the process."""

    def __init__(self, state: State, metrics: Metrics, *, prints: bool) -> None:
        os.mkfifo(state.request_log, 0o600)
        # Read and write: the front can open it at any time, and no end of file comes between.
        self._descriptor = os.open(state.request_log, os.O_RDWR)
        self._metrics, self._prints = metrics, prints
        self._rest = b""
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True, name="request log").start()

    def flush(self) -> None:
        """Prints what the front has written so far."""
        with self._lock:
            while select.select([self._descriptor], [], [], 0)[0]:
                self._read()

    def _run(self) -> None:
        while True:
            select.select([self._descriptor], [], [])
            self.flush()
            time.sleep(GATHER)

    def _read(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._descriptor, 1 << 16)).split(b"\n")
        entries = [entry for entry in map(parse, lines) if entry]
        for entry in entries:
            self._metrics.add(entry | {"path": _counted(entry["path"])})
        if self._prints:
            for text in _pieces(json.dumps(entry) for entry in entries):
                log.line(text, sys.stdout)


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Lines together, as many as a pipe takes in one piece: other processes write to it too."""
    held: list[str] = []
    for line in lines:
        if held and sum(map(len, held)) + len(held) + len(line) >= select.PIPE_BUF:
            yield "\n".join(held)
            held = []
        held.append(line)
    if held:
        yield "\n".join(held)


def parse(line: bytes) -> dict[str, Any] | None:
    """The log's entry for one line of the front; None where it is none."""
    try:
        found: dict[str, Any] = json.loads(line.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return None
    entry = {
        "time": found["time"],
        "request_id": found["request_id"],
        "method": found["method"],
        "path": found["path"][:200],
        "status": found["status"],
        "bytes_in": found["bytes_in"],
        "bytes_out": found["bytes_out"],
        "queue_ms": _number(found["queue"]),
        "compute_ms": _number(found["compute"]),
        "total_ms": round(1000 * float(found["total"]), 3),
        "batch": _number(found["batch"]),
        "inputs": _number(found["inputs"]),
    }
    if found["inference_id"]:
        entry["inference_id"] = found["inference_id"][:200]
    return {name: value for name, value in entry.items() if value is not None}


def _counted(path: str) -> str:
    """A path as a metric's label: a caller must not make new ones without end."""
    if path.startswith("/models/"):
        return "/models/NAME/invoke" if path.endswith("/invoke") else "/models/NAME"
    return path if path in KNOWN_PATHS else "other"


def _number(text: str) -> float | None:
    """A number that a worker told; None where it told none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else value
