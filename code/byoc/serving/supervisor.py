"""Starts the front and the model server, watches them, and ends them in order."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time

from byoc.serving import health, metrics, model_server, nginx
from byoc.serving.control import Control, Reply, reply
from byoc.serving.faults import ServingFault
from byoc.serving.processes import Program, adopt_orphans, need, reap_orphans
from byoc.serving.request_log import RequestLog
from byoc.serving.settings import Settings
from byoc.serving.state import State

POLL_SECONDS = 0.1
HEALTH_SECONDS = 0.5
"""How often workers and model server are looked at."""
SILENT_SECONDS = 10.0
"""A model server that does not answer for so long counts as one without a live worker."""
LOADS = 3
"""A worker that ends so often while it loads, without a word, will not come up."""


class Supervisor:
    """One `serve`. ``stop`` may be set from a signal handler."""

    def __init__(self, settings: Settings, state: State) -> None:
        self.stop = threading.Event()
        self._settings = settings
        self._state = state
        self._programs: list[Program] = []
        self._warm = False
        self._last_answer = time.monotonic()
        self._metrics = metrics.Metrics()

    def run(self) -> None:
        """Serves until ``stop`` is set, then answers what is in flight, and returns.

        Raises ``ServingFault`` where the model cannot be loaded or a program ends by itself.
        """
        try:
            self._start()
            self._load()
            self._watch()
            self._drain()
        finally:
            self._state.set_ready(False)
            for program in self._programs:
                program.kill_group()

    def _start(self) -> None:
        need(model_server.PROGRAM, model_server.DEBIAN_PACKAGE)
        need(nginx.PROGRAM, nginx.DEBIAN_PACKAGE)
        _check_port(self._settings.port)
        adopt_orphans()
        RequestLog(self._state, self._metrics, prints=self._settings.logs_requests)
        Control(self._state, self._answer)
        # The front first: callers get 503 while the model loads, not a refused connection.
        self._programs.append(Program("nginx", nginx.command(self._settings, self._state)))
        launch = model_server.prepare(self._settings, self._state)
        server = Program(
            "the model server",
            launch.command,
            launch.environment,
            launch.descriptors,
            None if self._settings.log_level <= 10 else model_server.is_noise,
            str(self._state.folder),
        )
        self._programs.append(server)

    def _load(self) -> None:
        """Waits for the first answer of a loaded model."""
        begin = time.monotonic()
        threading.Thread(target=self._warm_up, daemon=True).start()
        while not self._warm and not self.stop.wait(POLL_SECONDS):
            self._check_programs()
            self._check_loading()
            if time.monotonic() - begin > self._settings.startup_timeout:
                limit = self._settings.startup_timeout
                raise ServingFault(f"the model gave no answer within {limit} s of the start")
        if self._warm:
            self._state.set_ready(True)
            self._last_answer = time.monotonic()
            _say(f"ready on port {self._settings.port} after {time.monotonic() - begin:.1f} s")

    def _warm_up(self) -> None:
        while not self._warm and not self.stop.wait(POLL_SECONDS):
            self._warm = health.warm_up(self._state, self._settings.startup_timeout)

    def _check_loading(self) -> None:
        fault = self._state.take_fault()
        if fault:
            raise ServingFault(*fault)
        if self._state.loads() > LOADS * self._settings.workers:
            raise ServingFault(
                f"a worker ended {LOADS} times while it loaded the model, without a word: "
                "is there enough memory?"
            )

    def _watch(self) -> None:
        """Keeps the ready file true until the stop."""
        while not self.stop.wait(HEALTH_SECONDS):
            self._check_programs()
            fault = self._state.take_fault()
            if fault:
                _say(f"a worker could not start again: {fault[0]}")
            self._set_ready(self._is_alive())

    def _is_alive(self) -> bool:
        if health.answers(self._state):
            self._last_answer = time.monotonic()
        # A busy machine is slow to answer: that alone is no reason to be replaced.
        silent = time.monotonic() - self._last_answer > SILENT_SECONDS
        return not silent and self._state.live_workers() > 0

    def _set_ready(self, ready: bool) -> None:
        if ready != self._state.ready.exists():
            self._state.set_ready(ready)
            _say("a worker is alive again" if ready else "no worker is alive")

    def _check_programs(self) -> None:
        reap_orphans(self._programs)
        for program in self._programs:
            code = program.exit_code()
            if code is not None and not self.stop.is_set():
                raise ServingFault(f"{program.name} ended with {code}")

    def _answer(self, method: str, path: str, _query: str, _body: bytes) -> Reply:
        """What comes through the control socket."""
        if path == "/metrics" and method in ("GET", "HEAD"):
            text = self._metrics.text(self._gauges(), self._restarts())
            return Reply(200, text.encode(), metrics.CONTENT_TYPE)
        return reply(404, {"error": "not found"})

    def _gauges(self) -> dict[str, float]:
        return {
            "byoc_requests_in_flight": health.in_flight(self._state),
            "byoc_workers": self._state.live_workers(),
            "byoc_ready": float(self._state.ready.exists()),
        }

    def _restarts(self) -> int:
        return max(0, self._state.loads() - self._settings.workers)

    def _drain(self) -> None:
        """No new requests; those in flight are answered, as far as SageMaker's 30 s allow."""
        self._state.set_ready(False)
        _say("stopping: answering the requests in flight")
        front = self._programs[0]
        front.signal(signal.SIGQUIT)
        if not front.wait(nginx.DRAIN_SECONDS + 1):
            _say("some requests in flight took too long")


def _check_port(port: int) -> None:
    """Raises ``ServingFault`` where nginx could not listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ServingFault(
                f"cannot listen on port {port}: {error.strerror}; "
                "SAGEMAKER_BIND_TO_PORT chooses another"
            ) from None


def _say(text: str) -> None:
    print(f"serve: {text}", file=sys.stderr, flush=True)
