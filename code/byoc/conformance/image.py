"""The image under test: what the engine says of it, what it is tried with, and its runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from byoc.conformance.engine import Engine, waited
from byoc.conformance.workload import Workload

T = TypeVar("T")


@dataclass(frozen=True)
class Image:
    """``attributes``: the engine's own description (`docker image inspect`)."""

    name: str
    engine: Engine
    workload: Workload
    attributes: dict[str, Any]
    given_name: str = ""
    """As the user wrote it; ``name`` is its id."""
    _memory: dict[str, Future[Any]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """Env, Cmd, Entrypoint, Labels, User."""
        found: dict[str, Any] = self.attributes["Config"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        return self.config.get("Labels") or {}

    @property
    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config.get("Env") or [])

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What ``make`` returns or raises, made by the first clause that asks and kept for all."""
        with self._lock:
            is_first = key not in self._memory
            kept = self._memory.setdefault(key, Future())
        if is_first:
            try:
                kept.set_result(make())
            except BaseException as error:
                kept.set_exception(error)
        start = time.monotonic()
        result: T = kept.result()
        waited.set(waited.get() + time.monotonic() - start)
        return result

    def anew(self) -> Image:
        """The same image, with none of its runs remembered."""
        return Image(self.name, self.engine, self.workload, self.attributes, self.given_name)
