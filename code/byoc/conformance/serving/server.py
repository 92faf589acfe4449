"""A container that serves, as SageMaker starts it: model read-only, requests from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError
from docker.types import Mount

from byoc.conformance.hosting import Hosting, Message
from byoc.conformance.image import Image
from byoc.conformance.job import cause_of
from byoc.conformance.outcome import Failed, Findings, NotTried
from byoc.conformance.patience import patience

START_SECONDS = 120.0
READ_SECONDS = 5.0
POLL_SECONDS = 0.1
REFUSED = "refused"
"""The fault of a request that never reached the container."""
RESET = ConnectionResetError.__name__
"""That of one whose connection ended: one that was not yet taken when the server closed, too."""
LATE = TimeoutError.__name__
"""The fault of a request whose reply was not waited for to the end."""


class CannotStart(Failed):
    """There is no program `serve` in the image."""


@dataclass(frozen=True)
class Reply:
    """``status`` 0: none; ``fault`` then says why."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    fault: str = ""

    def json(self) -> Any:
        """None where the body is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Server:
    """A running container."""

    def __init__(
        self,
        image: Image,
        mounts: Sequence[Mount] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = ("serve",),
        port: int = 8080,
        **options: Any,
    ) -> None:
        self._port = port
        self.container = image.engine.container(
            image.name,
            command=None if command is None else list(command),
            environment={**image.workload.environment, **(environment or {})},
            mounts=list(mounts),
            **options,
        )
        self._address = ""
        try:
            self.container.start()
        except APIError as error:
            if error.status_code not in (400, 404):
                raise
            # The engine's answer to a command that the image does not have.
            image.engine.remove(self.container)
            raise CannotStart(f"the container cannot start: {cause_of(error)}") from error

    @property
    def address(self) -> str:
        """The container's own, on its bridge: no port is published."""
        if not self._address:
            self.container.reload()
            networks = self.container.attrs["NetworkSettings"]["Networks"].values()
            self._address = next((it["IPAddress"] for it in networks if it["IPAddress"]), "")
        return self._address

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        begin = time.monotonic()
        connection = http.client.HTTPConnection(self.address, self._port, timeout=timeout)
        try:
            try:
                connection.connect()
            except OSError:
                return Reply(0, {}, b"", time.monotonic() - begin, REFUSED)
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, content, time.monotonic() - begin)
        except (OSError, http.client.HTTPException) as error:
            fault = type(error).__name__
            return Reply(0, {}, b"", time.monotonic() - begin, fault)
        finally:
            connection.close()

    def invoke(self, message: Message, timeout: float = 60.0, **headers: str) -> Reply:
        given = message.headers | {name.replace("_", "-"): it for name, it in headers.items()}
        return self.ask("POST", "/invocations", message.body, given, timeout)

    def invoke_slowly(self, message: Message, seconds: float) -> Reply:
        """The second half of the body comes after so many seconds."""

        def halves() -> Iterator[bytes]:
            half = len(message.body) // 2
            yield message.body[:half]
            time.sleep(seconds)
            yield message.body[half:]

        given = message.headers | {"Content-Length": str(len(message.body))}
        return self.ask("POST", "/invocations", halves(), given)

    def ping(self) -> Reply:
        return self.ask("GET", "/ping", timeout=5)

    def is_running(self) -> bool:
        self.container.reload()
        return bool(self.container.attrs["State"]["Running"])

    def log(self) -> str:
        written: bytes = self.container.logs()
        return written.decode("utf-8", "replace")

    def last_words(self) -> str:
        lines = [line for line in self.log().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def wait_ready(self, seconds: float = START_SECONDS) -> list[int]:
        """The statuses of /ping until the first 200, which is among them.

        Raises ``Failed`` where the container ends first, or time is up.
        """
        seen: list[int] = []
        begin = time.monotonic()
        while True:
            status = self.ping().status
            if not seen or seen[-1] != status:
                seen.append(status)
            is_running = self.is_running()
            if status == 200 and is_running:
                return seen
            if not is_running:
                raise Failed(f"the container ended before /ping was 200: {self.last_words()}")
            took = time.monotonic() - begin
            if took > patience(seconds):
                raise Failed(f"/ping was not 200 within {took:.0f} s, but {seen[-1]}")
            time.sleep(POLL_SECONDS)

    def signal(self, name: str) -> None:
        with contextlib.suppress(APIError):
            self.container.kill(name)

    def wait(self, seconds: float) -> int | None:
        """The exit code; None where it still runs after so many seconds."""
        try:
            return int(self.container.wait(timeout=seconds)["StatusCode"])
        except requests.RequestException:
            return None

    def run(self, *command: str) -> str:
        """The output of a command inside the container."""
        output: bytes = self.container.exec_run(list(command)).output
        return output.decode("utf-8", "replace")

    def read(self, *command: str) -> str:
        """The same of a command that always says something: a busy engine may lose the words."""
        end = time.monotonic() + READ_SECONDS
        while not (text := self.run(*command)) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return text


def timeout_of(seconds: int) -> dict[str, str]:
    """The variables that limit an invocation: multi-model-server counts the first in minutes."""
    names = ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS")
    return dict.fromkeys(names, str(seconds))


@contextlib.contextmanager
def serving(image: Image, mounts: Sequence[Mount] = (), **options: Any) -> Iterator[Server]:
    """A server in a place of its own among those that run; gone at the end of the block."""
    with image.engine.slot():
        server = Server(image, mounts, **options)
        try:
            yield server
        finally:
            image.engine.remove(server.container)


@contextlib.contextmanager
def serving_apart(image: Image, mounts: Sequence[Mount], **options: Any) -> Iterator[Server]:
    """The same on a network of its own.

    On the engine's own one the address of a container that ended soon is another's: who goes on
    asking it gets that one's answers.
    """
    network = image.engine.network(internal=False)
    try:
        with serving(image, mounts, network=network.name, **options) as server:
            yield server
    finally:
        image.engine.remove(network)


def hosting_of(image: Image) -> Hosting:
    """Raises ``NotTried`` where it needs a model to serve, and none was given."""
    found = image.workload.hosting
    if not found.has_model:
        try:
            _shared(image)
        except CannotStart as fault:
            raise NotTried(str(fault)) from fault
        except Failed as fault:
            raise NotTried(f"no --model given, and without one: {fault}") from fault
    return found


def message_of(image: Image) -> Message:
    return hosting_of(image).message


def expect_taken(findings: Findings, image: Image, reply: Reply, what: str) -> bool:
    """The workload's message got what it must get."""
    hosting = image.workload.hosting
    guess = "`{}` (no --payload given) " if hosting.is_a_guess else ""
    said = f"{reply.status or reply.fault}: {reply.body[:200]!r}"
    return findings.expect(
        hosting.takes(reply.status),
        f"{what}: {guess}got {said}",
        f"{what}: {guess}got {reply.status}",
    )


def reached(reply: Reply) -> bool:
    """Whether the body came to the model, whatever that made of it."""
    return reply.status not in (0, 413, 502, 503, 504)


def model_of(image: Image) -> Path | None:
    """The folder of the model that the image is tried with; None: whatever is in the image."""
    hosting_of(image)
    return _model(image)


def _model(image: Image) -> Path | None:
    hosting = image.workload.hosting
    if hosting.model is not None:
        return hosting.model
    if not hosting.make_model:
        return None
    return image.once("model", lambda: _make_model(image, hosting.make_model))


def _make_model(image: Image, program: str) -> Path:
    folder = image.engine.folder("model")
    folder.chmod(0o755)
    container = image.engine.container(
        image.name,
        command=["python", "-c", program, "/made"],
        mounts=[Mount("/made", str(folder), type="bind")],
    )
    container.start()
    if container.wait(timeout=patience(180))["StatusCode"] != 0:
        said = container.logs().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise NotTried(f"no model could be made in the image: {said}")
    image.engine.remove(container)
    return folder


def mounted(folder: Path | None) -> list[Mount]:
    """As SageMaker has it: read-only; nothing where there is no model to mount."""
    if folder is None:
        return []
    return [Mount("/opt/ml/model", str(folder), type="bind", read_only=True)]


def script(image: Image, text: str) -> Path:
    """A model that is nothing but its code/inference.py; ``NotTried`` where none is taken."""
    if not hosting_of(image).takes_scripts:
        raise NotTried("needs a model that is a script: code/inference.py may not be taken")
    folder = image.engine.folder("script")
    folder.chmod(0o755)
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text(text, encoding="utf-8")
    return folder


PATIENT = """
import json, os, time
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    time.sleep(float(body))
    return str(os.getpid())
"""
"""Answers with its process id after as many seconds as the body says."""


def shared(image: Image) -> Server:
    """One server of the image's own model, asked by many clauses; it goes with the check."""

    hosting_of(image)
    return _shared(image)


def _shared(image: Image) -> Server:
    def start() -> Server:
        server = Server(image, mounted(_model(image)))
        server.wait_ready()
        return server

    return image.once("server", start)


class Load:
    """Clients that ask again and again, each on a new connection, and count what they get."""

    def __init__(self, server: Server, clients: int, message: Message) -> None:
        self.seen: Counter[str] = Counter()
        self.slowest_ping = 0.0
        self._server, self._message = server, message
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self._threads.append(threading.Thread(target=self._ping))
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            reply = self._server.invoke(self._message, timeout=patience(10))
            self.seen[str(reply.status or reply.fault)] += 1
            if not reply.status:
                time.sleep(0.05)

    def _ping(self) -> None:
        while not self._end.wait(0.1):
            reply = self._server.ping()
            self.slowest_ping = max(self.slowest_ping, reply.seconds)
            self.seen[f"ping {reply.status or reply.fault}"] += 1

    def stop(self) -> Counter[str]:
        self._end.set()
        for thread in self._threads:
            thread.join()
        return self.seen


def until(is_so: Any, seconds: float) -> bool:
    """Was it so, within so many seconds of a quiet machine?"""
    begin = time.monotonic()
    while not is_so():
        if time.monotonic() - begin > patience(seconds):
            return False
        time.sleep(POLL_SECONDS)
    return True
