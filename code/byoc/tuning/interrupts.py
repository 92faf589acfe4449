"""Ctrl-C at a moment that suits: not in the midst of a transaction, whose lock would stay."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Keeps a Ctrl-C until the function that it yields is called, which raises
    ``KeyboardInterrupt`` then. A second Ctrl-C comes at once. Outside of the main thread, which
    gets no signals, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked = False

    def keep(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def let_through() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, keep)
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, before)
