"""The Docker engine, and everything that a check makes there: labelled, counted and removed."""

from __future__ import annotations

import contextlib
import contextvars
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import requests
from docker import errors as docker_errors
from docker.types import DeviceRequest

from byoc.conformance import owner

LABEL = "byoc.conformance.owner"
_FOLDER = "byoc-check."
_REPOSITORY = "byoc-check"

waited: contextvars.ContextVar[float] = contextvars.ContextVar("waited", default=0.0)
"""Seconds that the current clause waited for its turn."""


class EngineError(Exception):
    """No engine, no such image, or the check was ended; the message is one line."""


class Engine:
    """A connection to Docker for one run of the check; use it as a context manager.

    ``parallel``: at most so many jobs run at a time; ``gpu``: all containers get the host's GPUs.
    """

    def __init__(self, parallel: int = 2, *, gpu: bool = False) -> None:
        try:
            self._client = docker.from_env(timeout=180)
            self._client.ping()
        except (docker_errors.DockerException, requests.RequestException) as error:
            raise EngineError(f"no Docker engine answers: {error}") from error
        self._slots = threading.Semaphore(parallel)
        self._owner = owner.current()
        self._labels = {LABEL: self._owner}
        self.gpu = gpu
        self._lock = threading.Lock()
        self._made: list[Any] = []
        self._closed = False
        sweep(self._client)
        self.scratch = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{self._owner}."))
        self._image = ""

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """One of the places for running jobs; the wait does not count as the clause's time."""
        start = time.monotonic()
        with self._slots:
            waited.set(waited.get() + time.monotonic() - start)
            yield

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine says of the image; raises ``EngineError`` where it has none."""
        try:
            found: dict[str, Any] = self._client.images.get(image).attrs
        except docker_errors.ImageNotFound as error:
            raise EngineError(f"there is no image {image} here: build or pull it") from error
        self._image = image
        return found

    def history(self, image: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.images.get(image).history()
        return found

    def keeps_manifests(self) -> bool:
        """Whether it pushes an image as it was built: the containerd image store does.

        The older stores push Docker's schema 2, whatever was built.
        """
        status = dict(self._client.info().get("DriverStatus") or [])
        return "io.containerd.snapshotter" in str(status.get("driver-type"))

    @contextlib.contextmanager
    def pushed(self, image: str, host: str) -> Iterator[tuple[str, str]]:
        """The image in the registry at ``host``: its repository and tag there."""
        repository = f"{host}/{_REPOSITORY}"
        self._client.images.get(image).tag(repository, self._owner)
        try:
            for line in self._client.images.push(
                repository, self._owner, stream=True, decode=True, auth_config={}
            ):
                # A push goes on for minutes; leaving its stream ends it.
                if self._closed:
                    raise EngineError("the check was ended")
                if "error" in line:
                    raise EngineError(f"cannot push to {host}: {line['error']}")
            yield _REPOSITORY, self._owner
        finally:
            with contextlib.suppress(docker_errors.APIError):
                self._client.images.remove(f"{repository}:{self._owner}", noprune=True)

    def folder(self, name: str) -> Path:
        """A new folder of this run."""
        return Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self.scratch))

    def container(self, image: str, **options: Any) -> Any:
        """A container, not started; removed at the end at the latest."""
        labels = self._labels | options.pop("labels", {})
        if self.gpu:
            options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        return self._keep(lambda: self._client.containers.create(image, labels=labels, **options))

    def network(self, *, internal: bool = True) -> Any:
        """A bridge for containers that are to see each other; an internal one leads nowhere."""
        name = f"byoc-check-{self._owner}-{time.monotonic_ns()}"
        return self._keep(
            lambda: self._client.networks.create(name, labels=self._labels, internal=internal)
        )

    def _keep(self, make: Any) -> Any:
        with self._lock:
            if self._closed:
                raise EngineError("the check was ended")
            made = make()
            self._made.append(made)
        return made

    def remove(self, made: Any) -> None:
        """Removes a container or a network now, running or not."""
        _remove(made)
        with self._lock, contextlib.suppress(ValueError):
            self._made.remove(made)

    def close(self) -> None:
        """Removes everything that this run made."""
        with self._lock:
            self._closed = True
            made = list(reversed(self._made))
        # Containers first: a network with one in it cannot go.
        for it in sorted(made, key=lambda it: not hasattr(it, "exec_run")):
            _remove(it)
        self._remove_scratch()
        self._client.close()

    def _remove_scratch(self) -> None:
        """The folder too; where another user's containers wrote as root, by a container."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self.scratch.exists():
            return
        with contextlib.suppress(docker_errors.DockerException):
            self._client.containers.run(
                self._image,
                ["-rf", "/scratch/" + self.scratch.name],
                entrypoint=["rm"],
                user="0",
                remove=True,
                labels=self._labels,
                volumes={str(self.scratch.parent): {"bind": "/scratch", "mode": "rw"}},
            )
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.scratch.exists():
            print(f"could not remove {self.scratch}: remove it as root", flush=True)


def sweep(client: Any) -> None:
    """Removes what runs left that no longer live: containers, networks, names, folders."""
    mine = {"label": LABEL}
    for kind in (
        # Another run may be removing its own meanwhile.
        client.containers.list(all=True, filters=mine, ignore_removed=True),
        client.networks.list(filters=mine),
    ):
        for made in kind:
            labels = made.attrs.get("Labels") or made.attrs.get("Config", {}).get("Labels") or {}
            if owner.is_gone(labels.get(LABEL, "")):
                _remove(made)
    for image in client.api.images(filters={"reference": f"*/{_REPOSITORY}"}):
        for tag in image.get("RepoTags") or []:
            if owner.is_gone(tag.rpartition(":")[2]):
                with contextlib.suppress(docker_errors.APIError):
                    client.images.remove(tag, noprune=True)
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        if owner.is_gone(folder.name.removeprefix(_FOLDER).rpartition(".")[0]):
            shutil.rmtree(folder, ignore_errors=True)


def _remove(made: Any) -> None:
    # Gone already, or somebody else is removing it: both are what is wanted.
    with contextlib.suppress(docker_errors.APIError, requests.RequestException):
        if hasattr(made, "exec_run"):
            made.remove(force=True, v=True)
        else:
            made.remove()
