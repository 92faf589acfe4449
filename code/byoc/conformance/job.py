"""One training job: a container over a tree at /opt/ml, followed from start to end."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError
from docker.types import EndpointConfig, Mount

from byoc.conformance.image import Image
from byoc.conformance.outcome import Failed
from byoc.conformance.patience import patience
from byoc.conformance.tree import Tree

END_SECONDS = 300.0
"""How long a job of a check may take before it counts as hanging."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Ended:
    """How a job ended; ``seconds``: from its start."""

    code: int
    stdout: str
    stderr: str
    failure: str | None
    tree: Tree
    seconds: float
    out_of_memory: bool = False

    @property
    def cause(self) -> str:
        """The first line of output/failure, else the last of stderr or stdout."""
        if self.failure and self.failure.strip():
            return self.failure.strip().splitlines()[0]
        said = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return said[-1] if said else "it said nothing"

    def metrics(self, definitions: Mapping[str, str]) -> dict[str, str]:
        """The last value that each metric's regular expression finds on stdout."""
        return {
            name: found[-1]
            for name, regex in definitions.items()
            if (found := re.findall(regex, self.stdout))
        }


@dataclass
class Setting:
    """What a job's container gets besides its tree."""

    command: Sequence[str] | None = ("train",)
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    network: Any = None
    """A network of the engine's, with ``host`` as the container's name there; None: the default."""
    host: str = "algo-1"
    is_isolated: bool = False
    """No network at all (EnableNetworkIsolation)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Anything else that docker's containers.create takes."""


class Job:
    """A running job."""

    def __init__(self, image: Image, tree: Tree, setting: Setting) -> None:
        self.image, self.tree = image, tree
        # On SageMaker a job's own host name always resolves; the toolkit waits for it to.
        network: dict[str, Any] = {"hostname": setting.host}
        if setting.is_isolated:
            network |= {"network_mode": "none", "extra_hosts": {setting.host: "127.0.0.1"}}
        elif setting.network is not None:
            alias = EndpointConfig("1.41", aliases=[setting.host])
            network |= {
                "network": setting.network.name,
                "networking_config": {setting.network.name: alias},
            }
        self.container = image.engine.container(
            image.name,
            command=None if setting.command is None else list(setting.command),
            entrypoint=None if setting.entrypoint is None else list(setting.entrypoint),
            environment={
                "TRAINING_JOB_NAME": "byoc-check",
                "TRAINING_JOB_ARN": "arn:aws:sagemaker:local:000000000000:training-job/byoc-check",
                **image.workload.environment,
                **setting.environment,
            },
            mounts=[*_mounts(tree), *setting.mounts],
            **network,
            **setting.options,
        )
        self._start = time.monotonic()
        try:
            self.container.start()
        except APIError as error:
            if error.status_code not in (400, 404):
                raise
            # Not the engine's fault: its answer to a command that the image does not have.
            image.engine.remove(self.container)
            raise Failed(f"the container cannot start: {cause_of(error)}") from error

    def stdout(self) -> str:
        return self._logs(stdout=True, stderr=False)

    def _logs(self, **streams: bool) -> str:
        written: bytes = self.container.logs(**streams)
        return written.decode("utf-8", "replace")

    def is_running(self) -> bool:
        self.container.reload()
        return bool(self.container.attrs["State"]["Running"])

    def until(self, is_so: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Waits until it is so; raises ``Failed`` where the job ends first, or time is up."""
        begin = time.monotonic()
        while not is_so():
            if not self.is_running() and not is_so():
                ended = self.wait()
                raise Failed(f"the job ended (exit {ended.code}) before {what}: {ended.cause}")
            took = time.monotonic() - begin
            if took > patience(seconds):
                raise Failed(f"{what}: not within {took:.0f} s")
            time.sleep(_POLL_SECONDS)

    def until_line(self, regex: str, seconds: float = 120.0) -> None:
        """Waits for a line on stdout."""
        pattern = re.compile(regex, re.MULTILINE)
        self.until(lambda: bool(pattern.search(self.stdout())), f"a line {regex!r}", seconds)

    def signal(self, name: str) -> bool:
        """To the container's first process; False where that has ended already."""
        try:
            self.container.kill(name)
        except APIError:
            return False
        return True

    def end_or_kill(self, seconds: float) -> Ended:
        """As SageMaker stops a job: waits for the end, and sends SIGKILL when time is up."""
        try:
            self.container.wait(timeout=seconds)
        except requests.RequestException:
            self.signal("SIGKILL")
        return self.wait()

    def wait(self, seconds: float = END_SECONDS) -> Ended:
        """Waits for the end; raises ``Failed``, after a kill, where it does not come in time."""
        try:
            code = int(self.container.wait(timeout=seconds)["StatusCode"])
        except requests.RequestException as error:
            self.signal("SIGKILL")
            said = self.stdout().strip().splitlines()[-1:]
            raise Failed(f"still running after {seconds:.0f} s; its last line: {said}") from error
        took = time.monotonic() - self._start
        self.container.reload()
        return Ended(
            code,
            self.stdout(),
            self._logs(stdout=False, stderr=True),
            self.tree.failure(),
            self.tree,
            took,
            bool(self.container.attrs["State"].get("OOMKilled")),
        )


def cause_of(error: APIError) -> str:
    """Why the engine could not start a container, without what it says of itself."""
    said = str(error.explanation or error)
    return said.rpartition("unable to start container process: ")[2].strip()


def _mounts(tree: Tree) -> list[Mount]:
    """/opt/ml, and each channel over it: SageMaker's channels cannot be written to."""
    channels = [
        Mount(f"/opt/ml/input/data/{name}", str(folder), type="bind", read_only=True)
        for name, folder in tree.channels.items()
    ]
    return [Mount("/opt/ml", str(tree.root), type="bind"), *channels]


@contextlib.contextmanager
def started(image: Image, tree: Tree, setting: Setting | None = None) -> Iterator[Job]:
    """A job in a place of its own among those that run; gone at the end of the block."""
    with image.engine.slot():
        job = Job(image, tree, setting or Setting())
        try:
            yield job
        finally:
            image.engine.remove(job.container)


def run(
    image: Image, tree: Tree, setting: Setting | None = None, seconds: float = END_SECONDS
) -> Ended:
    """A job from start to end."""
    with started(image, tree, setting) as job:
        return job.wait(seconds)


def lay_out(
    image: Image,
    changes: Mapping[str, str] | None = None,
    *,
    channels: Mapping[str, Path] | None = None,
    longer: bool = False,
    **fields: str,
) -> Tree:
    """A tree for a job of the image's workload.

    ``changes``: hyperparameters over the workload's; ``channels`` instead of the workload's;
    ``fields`` of each channel in inputdataconfig.json.
    """
    work = image.workload
    tree = Tree(image.engine.folder("job"))
    hyperparameters = {**work.hyperparameters, **(work.longer if longer else {}), **(changes or {})}
    tree.write_config("hyperparameters.json", hyperparameters)
    tree.write_hosts("algo-1", ["algo-1"])
    tree.add_channels(work.channels if channels is None else channels, **fields)
    return tree


def first_run(image: Image) -> Ended:
    """`docker run IMAGE train` on the workload: run once, looked at by many clauses."""
    return image.once("first run", lambda: run(image, lay_out(image)))
