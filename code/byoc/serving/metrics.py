"""What `serve` counts, as Prometheus reads it (text format 0.0.4).

Source: the front's line for each request (``byoc.serving.request_log``).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0),
)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """Counts values by upper bounds."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name, self._meaning, self._bounds = name, meaning, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self) -> list[str]:
        found = _heading(self._name, "histogram", self._meaning)
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found.append(f'{self._name}_bucket{{le="{bound}"}} {total}')
        return [*found, f"{self._name}_sum {self._sum:.6f}", f"{self._name}_count {total}"]


class Metrics:
    """All counters of one `serve`; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, int], int] = {}
        self._bytes = {"received": 0, "sent": 0}
        self._inputs = 0
        self._total = Histogram(
            "byoc_request_seconds",
            "From the first byte of a request to the last of its reply.",
            _SECONDS,
        )
        self._queue = Histogram(
            "byoc_queue_seconds",
            "From the whole request to the start of its computation.",
            _SECONDS,
        )
        self._compute = Histogram(
            "byoc_compute_seconds", "Computation of the batch that a request was in.", _SECONDS
        )
        self._batch = Histogram(
            "byoc_batch_requests",
            "Requests that went through the model with it, and itself.",
            _SIZES,
        )

    def add(self, entry: Mapping[str, Any]) -> None:
        """One request, as the log has it; times in milliseconds."""
        with self._lock:
            key = (entry["path"], entry["status"])
            self._requests[key] = self._requests.get(key, 0) + 1
            self._bytes["received"] += entry["bytes_in"]
            self._bytes["sent"] += entry["bytes_out"]
            self._total.add(entry["total_ms"] / 1000)
            if entry.get("queue_ms") is not None:
                self._queue.add(entry["queue_ms"] / 1000)
            if entry.get("compute_ms") is not None:
                self._compute.add(entry["compute_ms"] / 1000)
            if entry.get("batch"):
                self._batch.add(entry["batch"])
            self._inputs += entry.get("inputs") or 0

    def text(self, gauges: Mapping[str, float], restarts: int) -> str:
        """``gauges`` are values of this moment, by the keys of ``_GAUGES``."""
        with self._lock:
            lines = _heading("byoc_requests_total", "counter", "Requests by path and status.")
            for (path, status), count in sorted(self._requests.items()):
                lines.append(f'byoc_requests_total{{path="{path}",status="{status}"}} {count}')
            for way, count in self._bytes.items():
                name = f"byoc_bytes_{way}_total"
                lines += [*_heading(name, "counter", f"Bytes {way}."), f"{name} {count}"]
            lines += _heading("byoc_inputs_total", "counter", "Inputs that were answered.")
            lines.append(f"byoc_inputs_total {self._inputs}")
            for histogram in (self._total, self._queue, self._compute, self._batch):
                lines += histogram.lines()
        meaning = "Workers that ended and were replaced."
        lines += _heading("byoc_worker_restarts_total", "counter", meaning)
        lines.append(f"byoc_worker_restarts_total {restarts}")
        for name, value in gauges.items():
            lines += [*_heading(name, "gauge", GAUGES[name]), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"


GAUGES = {
    "byoc_requests_in_flight": "Requests that the front has and has not answered.",
    "byoc_workers": "Workers with a loaded model that are alive.",
    "byoc_ready": "1 where /ping replies 200.",
    "byoc_models": "Models that are loaded, in multi-model mode.",
}


def _heading(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
