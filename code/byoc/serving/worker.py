"""Loads the model once, and forks workers that answer with it.

The model server believes that it starts one process for each request that runs at a time. Here all
of its connections, which we call lanes, end in as few workers as there are to be: what waits in a
worker's lanes goes through its model together (``byoc.serving.batching``).

The workers share the pages of the model that this process loaded, and a dead one is replaced by a
fork: at once, without loading anew. What cannot live through a fork, such as a GPU's context or
the threads of a model's own script, is loaded by each worker for itself.

In single-model mode `serve` starts this program itself, beside the model server, and again where
it dies; the model server would not. What the model server starts then only points to it. In
multi-model mode the model server starts one for each model, and ends it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from byoc.serving.faults import NotLoaded
from byoc.serving.functions import user_script
from byoc.serving.settings import Settings, default_workers, read_settings
from byoc.serving.state import MODEL_FILE, State
from byoc.serving.watchdog import TICK, Watchdog

BACKLOG = 1024
FASTEST_FORK = 0.5
"""Seconds between two forks of one worker: one that dies at once must not take a core."""
NOT_LOADED = 3
"""A worker's exit code where it could not load the model."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Place:
    """Where the model lies, and where its processes tell one another of themselves."""

    model_dir: Path
    state: State
    is_one_of_many: bool = False
    """In multi-model mode."""


def main() -> None:
    """As the program that the model server starts, or as the one that `serve` does."""
    arguments = _arguments()
    if arguments.listen is not None:
        from byoc import contract

        place = Place(contract.model_dir(), State.from_environment())
        run(socket.socket(fileno=arguments.listen), place)
    folder = Path(arguments.model_path)
    if (folder / MODEL_FILE).is_file():
        content = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        listener = listen(Path(arguments.sock_name))
        _say_started()
        run(listener, Place(Path(content["path"]), State(folder), True))
    Path(arguments.sock_name).symlink_to(State.from_environment().workers_socket)
    _say_started()
    signal.pause()


def run(listener: socket.socket, place: Place) -> None:
    """Loads, forks, and replaces dead workers, until it is killed."""
    from byoc.serving import handler

    settings = read_settings()
    shares = loads_before_fork(place.model_dir)
    try:
        if shares:
            handler.load(place.model_dir, place.state)
    except NotLoaded:
        _give_up(listener, place)
    lanes = lanes_of(place.model_dir, settings)
    workers = [_fork(listener, place, number, shares, lanes) for number in range(settings.workers)]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # for sigtimedwait
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, TICK)
        for worker in workers:
            worker.watchdog.look(worker.process, settings.timeout)
            code = worker.exit_code()
            if code == NOT_LOADED:
                _give_up(listener, place)
            if code is not None:
                time.sleep(max(0.0, FASTEST_FORK - (time.monotonic() - worker.since)))
                workers[worker.number] = _fork(listener, place, worker.number, shares, lanes)


@dataclass(frozen=True)
class Worker:
    number: int
    process: int
    since: float
    watchdog: Watchdog

    def exit_code(self) -> int | None:
        """Negative for a signal; None while it lives."""
        process, status = os.waitpid(self.process, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if process else None


def _give_up(listener: socket.socket, place: Place) -> NoReturn:
    """The model cannot be loaded: `serve` ends, or the model server unloads it.

    It learns of it by connections that are closed; without any it would wait for good.
    """
    if not place.is_one_of_many:
        sys.exit(NOT_LOADED)
    while True:
        listener.accept()[0].close()


def listen(path: Path) -> socket.socket:
    """A socket for the model server's lanes: they queue here while the model loads."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def loads_before_fork(model_dir: Path) -> bool:
    """Our own functions on a CPU may; a model's script may start anything."""
    return user_script(model_dir) is None and default_workers(0) == 0


def lanes_of(model_dir: Path, settings: Settings) -> int:
    """Requests that one worker takes at a time.

    Two batches: one is computed while the other gathers. With many models fewer, since each lane
    costs the model server a thread. A model's own script gets one request after the other, as it
    would from the model server.
    """
    if user_script(model_dir) is not None:
        return 1
    return 16 if settings.is_multi_model else 2 * max(settings.batch_size or 32, 8)


def _fork(listener: socket.socket, place: Place, number: int, shares: bool, lanes: int) -> Worker:
    """Starts a worker. Returns in this process only."""
    parent, watchdog = os.getpid(), Watchdog(lanes)
    process = os.fork()
    if process:
        return Worker(number, process, time.monotonic(), watchdog)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        # Without its parent nobody would replace it, nor end it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            _work(listener, place, None if shares else number, lanes, watchdog)
    except NotLoaded:
        os._exit(NOT_LOADED)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _work(
    listener: socket.socket, place: Place, loads_on: int | None, lanes: int, watchdog: Watchdog
) -> None:
    """What a worker does; ``loads_on``: it loads the model itself, onto this GPU, if any."""
    from byoc.serving import handler
    from byoc.serving.lanes import serve_lanes

    place.state.note_load()
    if loads_on is not None:
        handler.load(place.model_dir, place.state, loads_on)
    handler.enter(place.state)
    serve_lanes(listener, lanes, watchdog)


def _say_started() -> None:
    """The model server waits for these lines."""
    print(f"[PID] {os.getpid()}\nMMS worker started.", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, help="descriptor of the socket that is listened on")
    parser.add_argument("--sock-name", help="from the model server: path of the socket")
    parser.add_argument("--model-path", help="from the model server: its folder of the model")
    return parser.parse_known_args()[0]
