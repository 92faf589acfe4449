"""SIGTERM: ends the job at once, or at the next place where the training loop looks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from byoc.training.faults import StoppedError


class StopRequest:
    """The handler of SIGTERM.

    ``on_request`` is what the signal does: ``None`` raises ``StoppedError`` wherever the process
    is; a function is called instead, once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.on_request: Callable[[], None] | None = None

    def install(self) -> None:
        """Takes SIGTERM; again where a library has put a handler of its own in between."""
        signal.signal(signal.SIGTERM, self)

    def __call__(self, _number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        again, self.requested = self.requested, True
        if again:
            return
        if self.on_request is None:
            raise StoppedError
        self.on_request()

    def defer(self) -> None:
        """From now on the signal is only noted, for ``requested`` and ``check``."""
        self.on_request = lambda: None

    def check(self) -> None:
        """Raises ``StoppedError`` where a stop was asked for."""
        if self.requested:
            raise StoppedError
