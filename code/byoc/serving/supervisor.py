"""Starts the front and the model server, watches them, and ends them in order."""

from __future__ import annotations

import signal
import socket
import threading
import time

from byoc import contract
from byoc.serving import health, metrics, model_server, nginx, packages
from byoc.serving.control import Control, Reply, reply
from byoc.serving.faults import ServingFault
from byoc.serving.guard import Guard
from byoc.serving.log import say
from byoc.serving.models import Models
from byoc.serving.processes import Program, adopt_orphans, need, reap_orphans
from byoc.serving.request_log import RequestLog
from byoc.serving.settings import Settings
from byoc.serving.state import State

POLL_SECONDS = 0.1
HEALTH_SECONDS = 0.5
"""How often workers and model server are looked at."""
SILENT_SECONDS = 10.0
"""A model server that does not answer for so long counts as one without a live worker."""
RESTART_SECONDS = 1.0
"""The least time between two starts of the process that loads the model."""
LOADS = 3
"""A worker that ends so often while it loads, without a word, will not come up."""


class Supervisor:
    """One `serve`. ``stop`` may be set from a signal handler."""

    def __init__(self, settings: Settings, state: State, stop: threading.Event) -> None:
        self.stop = stop
        self._settings = settings
        self._state = state
        self._programs: list[Program] = []
        self._warm = False
        self._last_answer = time.monotonic()
        self._told_restarts = 0
        self._metrics = metrics.Metrics()
        self._requests: RequestLog | None = None
        self._launch: model_server.Launch | None = None
        self._workers: Program | None = None
        self._workers_since = 0.0
        self._workers_ended = 0
        self._models = Models(settings, state) if settings.is_multi_model else None
        self._guard = Guard(state.folder)

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
            for program in self._all():
                program.kill_group()
            self._guard.close()

    def _begun(self, program: Program) -> Program:
        self._guard.add(program.process.pid)
        return program

    def _all(self) -> list[Program]:
        return [*self._programs, *([self._workers] if self._workers else [])]

    def _start(self) -> None:
        need(model_server.PROGRAM, model_server.DEBIAN_PACKAGE)
        need(nginx.PROGRAM, nginx.DEBIAN_PACKAGE)
        _check_port(self._settings.port)
        adopt_orphans()
        prints = self._settings.logs_requests
        self._requests = RequestLog(self._state, self._metrics, prints=prints)
        Control(self._state, self._answer)
        # The front first: callers get 503 while the model loads, not a refused connection.
        front = Program("nginx", nginx.command(self._settings, self._state))
        self._programs.append(self._begun(front))
        launch = model_server.prepare(self._settings, self._state)
        if self._models is None:
            folder, limit = self._state.folder, self._settings.startup_timeout
            packages.install(contract.model_dir(), folder, limit, self.stop)
            self._launch = model_server.workers(self._settings, self._state)
            self._start_workers()
        server = Program(
            "the model server",
            launch.command,
            launch.environment,
            launch.descriptors,
            None if self._settings.log_level <= 10 else model_server.is_noise,
            str(self._state.folder),
        )
        self._programs.append(self._begun(server))

    def _start_workers(self) -> None:
        """The process that loads the one model and forks its workers; again, where it has died."""
        assert self._launch is not None, "in single-model mode"
        if self._workers is not None:
            self._workers.kill_group()  # its forks, which nobody else would reap
            self._guard.remove(self._workers.process.pid)
        self._workers_since = time.monotonic()
        program = Program(
            "the process that loads the model",
            self._launch.command,
            self._launch.environment,
            self._launch.descriptors,
        )
        self._workers = self._begun(program)

    def _load(self) -> None:
        """Waits for the first answer of a loaded model."""
        begin = time.monotonic()
        threading.Thread(target=self._warm_up, daemon=True).start()
        while not self._warm and not self.stop.wait(POLL_SECONDS):
            self._check_loading()
            self._check_programs()
            if time.monotonic() - begin > self._settings.startup_timeout:
                limit = self._settings.startup_timeout
                raise ServingFault(f"the model gave no answer within {limit} s of the start")
        if self._warm:
            self._state.set_ready(True)
            self._last_answer = time.monotonic()
            say(f"ready on port {self._settings.port} after {time.monotonic() - begin:.1f} s")

    def _warm_up(self) -> None:
        while not self._warm and not self.stop.wait(POLL_SECONDS):
            if self._models is not None:
                self._warm = health.answers(self._state)
            else:
                self._warm = health.warm_up(self._state, self._settings.startup_timeout)

    def _check_loading(self) -> None:
        fault = self._state.take_fault()
        if fault:
            raise ServingFault(*fault)
        self._check_workers()
        ends = max(self._state.loads() // self._settings.workers, self._workers_ended)
        if ends > LOADS:
            raise ServingFault(
                f"a worker ended {LOADS} times while it loaded the model, without a word: "
                "is there enough memory?"
            )

    def _watch(self) -> None:
        """Keeps the ready file true until the stop."""
        while not self.stop.wait(HEALTH_SECONDS):
            self._check_programs()
            self._check_workers()
            fault = self._state.take_fault()
            if fault:
                say(f"a worker could not start again: {fault[0]}")
            self._tell_restarts()
            self._set_ready(self._is_alive())

    def _is_alive(self) -> bool:
        if health.answers(self._state):
            self._last_answer = time.monotonic()
        # A busy machine is slow to answer: that alone is no reason to be replaced.
        silent = time.monotonic() - self._last_answer > SILENT_SECONDS
        # In multi-model mode there may be no model, and so no worker.
        return not silent and (self._models is not None or self._state.live_workers() > 0)

    def _tell_restarts(self) -> None:
        count = self._restarts()
        if count > self._told_restarts:
            say(f"a worker ended, and another took its place ({count} since the start)")
        self._told_restarts = count

    def _set_ready(self, ready: bool) -> None:
        if ready != self._state.ready.exists():
            self._state.set_ready(ready)
            say("a worker is alive again" if ready else "no worker is alive")

    def _check_programs(self) -> None:
        reap_orphans(self._all())
        for program in self._programs:
            code = program.exit_code()
            if code is not None and not self.stop.is_set():
                raise ServingFault(f"{program.name} ended with {code}")

    def _check_workers(self) -> None:
        """Starts the process that loads the model again, where it has died."""
        is_over = self._workers is not None and self._workers.exit_code() is not None
        # A fault that it reported on the way out is told first, and may end all.
        if is_over and time.monotonic() - self._workers_since > RESTART_SECONDS:
            self._workers_ended += 1
            self._start_workers()

    def _answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """What comes through the control socket."""
        if path == "/metrics" and method in ("GET", "HEAD"):
            if self._requests is not None:
                self._requests.flush()
            text = self._metrics.text(self._gauges(), self._restarts())
            return Reply(200, text.encode(), metrics.CONTENT_TYPE)
        if self._models is not None:
            return self._models.answer(method, path, query, body)
        return reply(404, {"error": "not found"})

    def _gauges(self) -> dict[str, float]:
        found = {
            "byoc_requests_in_flight": health.in_flight(self._state),
            "byoc_workers": sum(it.live_workers() for it in self._states()),
            "byoc_ready": float(self._state.ready.exists()),
        }
        return found | ({"byoc_models": len(self._models.all())} if self._models else {})

    def _states(self) -> list[State]:
        """Those that workers tell of themselves: one, or one of each model."""
        return [self._state] if self._models is None else [it.state for it in self._models.all()]

    def _restarts(self) -> int:
        workers = self._settings.workers
        return sum(max(0, it.loads() - workers) for it in self._states())

    def _drain(self) -> None:
        """No new requests; those in flight are answered, as far as SageMaker's 30 s allow."""
        self._state.set_ready(False)
        say("stopping: answering the requests in flight")
        front = self._programs[0]
        front.signal(signal.SIGQUIT)
        if not front.wait(nginx.DRAIN_SECONDS + 1):
            say("some requests in flight took too long")
        if self._requests is not None:
            self._requests.flush()


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
