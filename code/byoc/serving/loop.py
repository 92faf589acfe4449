"""All lanes of a worker on one thread: for our own functions, which need not wait for the model.

A thread for each lane would do; but where many of them are woken at once, by a batch that is done,
they fight for Python's lock: that took more of a core than all that they had to do.

What is large is read and answered by threads beside, so that nothing small waits for it. A reply
is sent by the thread that computed it, as long as the server takes it at once.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from byoc.serving import handler, wire
from byoc.serving.watchdog import Watchdog

PIECE = 1 << 18
"""Bytes that are read at a time."""
LARGE = 8192
"""Bytes of a message from which on other threads work on it."""
THREADS_BESIDE = 4

Task = Callable[[], None]


class Loop:
    """Accepts up to so many lanes, and begins what comes over them."""

    def __init__(self, listener: socket.socket, lanes: int, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self.beside = ThreadPoolExecutor(THREADS_BESIDE, "beside")
        self._listener, self._lanes = listener, lanes
        self._selector = selectors.DefaultSelector()
        self._tasks: deque[Task] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        listener.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._work)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def run(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                key.data()

    def call(self, task: Task) -> None:
        """From any thread: has this done in the loop's."""
        self._tasks.append(task)
        os.eventfd_write(self._bell, 1)

    def watch(self, connection: socket.socket, events: int, ready: Task) -> None:
        self._selector.modify(connection, events, ready)

    def forget(self, connection: socket.socket) -> None:
        """Nothing more is to be read from it."""
        self._selector.unregister(connection)

    def release(self) -> None:
        """A lane has ended: another one may come."""
        if self._lanes == 0:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._lanes += 1

    def _work(self) -> None:
        os.eventfd_read(self._bell)
        while self._tasks:
            self._tasks.popleft()()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return  # another worker has it
        connection.setblocking(False)
        lane = Lane(connection, self)
        self._selector.register(connection, selectors.EVENT_READ, lane.read)
        self._lanes -= 1
        if self._lanes == 0:
            self._selector.unregister(self._listener)


class Lane:
    """A connection of the model server's."""

    def __init__(self, connection: socket.socket, loop: Loop) -> None:
        self._connection, self._loop = connection, loop
        self._number = loop.watchdog.take()
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._is_busy = self._has_ended = False

    def read(self) -> None:
        """In the loop: something has come, or the server has closed the connection."""
        try:
            piece = self._connection.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._received += piece
        if piece:
            self._take()
        else:
            self._end()

    def _take(self) -> None:
        """In the loop: begins a request that is whole."""
        if self._is_busy or self._has_ended or not self._received:
            return
        size = len(self._received)
        try:
            message = wire.take(self._received)
        except ValueError:
            self._end()
            return
        if message is None:
            return
        self._is_busy = True
        if not isinstance(message, wire.Message):
            self._send(wire.loaded())
            return
        self._loop.watchdog.begin(self._number)
        run = _at_once if size < LARGE else self._loop.beside.submit
        run(lambda: self._begin(message, run))

    def _begin(self, message: wire.Message, run: Callable[[Task], Any]) -> None:
        done: Callable[[bytes], None] = lambda body: self._reply(message, body)  # noqa: E731
        handler.begin(message.parts, message.context, done, run)

    def _reply(self, message: wire.Message, body: bytes) -> None:
        """In any thread."""
        reply = message.reply(body)
        self._loop.watchdog.end(self._number)
        self._send(reply)

    def _send(self, reply: bytearray) -> None:
        """In any thread: what the server does not take at once is left to the loop."""
        try:
            sent = self._connection.send(reply)
        except BlockingIOError:
            sent = 0
        except OSError:  # the server has closed the connection: the loop will see it
            sent = len(reply)
        if sent < len(reply):
            self._unsent = memoryview(reply)[sent:]
            self._loop.call(self._wait_to_send)
            return
        self._is_busy = False
        if self._has_ended or self._received:
            self._loop.call(self._go_on)

    def _wait_to_send(self) -> None:
        if self._has_ended:
            self._go_on()
        else:
            self._loop.watch(self._connection, selectors.EVENT_WRITE, self._send_more)

    def _send_more(self) -> None:
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._is_busy = False
            self._loop.watch(self._connection, selectors.EVENT_READ, self.read)
            self._take()

    def _go_on(self) -> None:
        """In the loop, after a reply: ends what has ended, or begins what has come meanwhile."""
        if self._has_ended:
            self._close()
        else:
            self._take()

    def _end(self) -> None:
        """In the loop: nothing more will come. A request in flight keeps the connection open, as
        the thread that computes it will send on it."""
        self._has_ended = True
        self._loop.forget(self._connection)
        if not self._is_busy:
            self._close()

    def _close(self) -> None:
        """Once, though both the loop and a reply's end may ask for it."""
        if self._connection.fileno() >= 0:
            self._connection.close()
            self._loop.watchdog.give(self._number)
            self._loop.release()


def _at_once(task: Task) -> None:
    task()
