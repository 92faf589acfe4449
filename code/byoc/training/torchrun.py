"""Starts the processes of a host that train together, by torchrun, and tells how they ended."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from byoc import contract, cuda
from byoc.training import process_tree
from byoc.training.config import TrainingConfig
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.stopping import StopRequest

PORT = 7777
"""Where the first host's processes are met by the others, as with the toolkit's own runner."""

NAME_SECONDS = 300.0
"""How long the first host's name may take to resolve: hosts do not start at the same moment."""

GRACE_SECONDS = 100.0
"""How long processes may take after SIGTERM; SageMaker itself kills after 120 s."""


@dataclass(frozen=True)
class Hosts:
    """resourceconfig.json: this host's name, all names in their order, the network interface."""

    current: str = "localhost"
    names: tuple[str, ...] = ("localhost",)
    interface: str | None = None

    @property
    def first(self) -> str:
        return self.names[0]


@dataclass
class Ending:
    """What one process leaves about its end, as RANK.json; none where it was killed."""

    kind: str
    """running, done, stopped, failed, or lost (it ended because another one had)"""
    pid: int
    cause: str = ""
    details: str = ""

    def write(self, folder: Path, rank: int) -> None:
        partial = folder / f"{rank}.partial"
        partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
        partial.replace(folder / f"{rank}.json")


def hosts() -> Hosts:
    """Raises ``TrainingFault`` where resourceconfig.json contradicts itself."""
    found = contract.read_config("resourceconfig.json", default={}) or {}
    names = tuple(sorted(found.get("hosts") or ()))
    if len(names) < 2:
        return Hosts()
    current = str(found.get("current_host"))
    if current not in names:
        raise TrainingFault(
            f"{contract.config_file('resourceconfig.json')}: current_host {current!r} is none of "
            f"hosts {', '.join(names)}"
        )
    return Hosts(current, names, found.get("network_interface_name"))


def processes(config: TrainingConfig) -> int:
    """How many processes train on this host: as asked, else one for each GPU, else one."""
    if config.processes_per_host:
        return config.processes_per_host
    if cuda.torch_cuda() is None:
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def run(folder: Path, place: Hosts, local_world: int, stop: StopRequest) -> None:
    """Trains what was prepared in ``folder`` with all processes of this host, and waits for them.

    Raises ``TrainingFault`` with the first cause, or ``StoppedError`` after an orderly stop.
    """
    endings = folder / "endings"
    endings.mkdir()
    _wait_for_name(place)
    stop.defer()
    process_tree.adopt_orphans()
    agent = subprocess.Popen(
        _command(folder, place, local_world),
        env=_environment(place, local_world),
        # A terminal's Ctrl-C is for this process alone, which passes a stop on in its own way.
        start_new_session=True,
        preexec_fn=die_with_parent,
    )

    def pass_on() -> None:
        _pass_on(_read(endings), local_world, is_alone=len(place.names) == 1)

    stop.on_request = pass_on
    try:
        code = _wait(agent, stop, pass_on)
    finally:
        stop.defer()
        process_tree.kill_all()  # nothing of ours outlives the job
    _tell(code, _read(endings), local_world, stop, place)


def die_with_parent() -> None:
    """Asks Linux to kill this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _command(folder: Path, place: Hosts, local_world: int) -> list[str]:
    several = len(place.names) > 1
    address = place.first if several else "127.0.0.1"
    options = {
        "nnodes": len(place.names),
        "node-rank": place.names.index(place.current),
        "nproc-per-node": local_world,
        "master-addr": address,
        "master-port": PORT if several else _free_port(),
    }
    listed = [f"--{name}={value}" for name, value in options.items()]
    module = ["-m", "byoc.training.worker", str(folder)]
    return [sys.executable, "-m", "torch.distributed.run", *listed, *module]


def _environment(place: Hosts, local_world: int) -> dict[str, str]:
    cores = len(os.sched_getaffinity(0))
    found = {"OMP_NUM_THREADS": str(max(1, cores // local_world)), "LOGLEVEL": "ERROR"}
    if place.interface and any(name == place.interface for _, name in socket.if_nameindex()):
        found |= {"GLOO_SOCKET_IFNAME": place.interface, "NCCL_SOCKET_IFNAME": place.interface}
    return {**found, **os.environ}


def _wait_for_name(place: Hosts) -> None:
    """Until the first host's name resolves: DNS may learn of a host after it has started."""
    end = time.monotonic() + NAME_SECONDS
    while len(place.names) > 1:
        try:
            socket.getaddrinfo(place.first, PORT)
        except OSError as error:
            if time.monotonic() > end:
                raise TrainingFault(
                    f"host {place.first} of resourceconfig.json cannot be found: {error}"
                ) from error
            time.sleep(1.0)
        else:
            return


def _pass_on(endings: dict[int, Ending], local_world: int, *, is_alone: bool) -> None:
    """SIGTERM to the processes that train; torchrun itself would kill them after half a minute.

    Where some of this host's have not even begun, none has trained, and a host that trains alone
    ends at once; several hosts stop together when all are there.
    """
    if is_alone and len(endings) < local_world:
        process_tree.kill_all()
    for ending in endings.values():
        if ending.kind == "running":
            with contextlib.suppress(ProcessLookupError):
                os.kill(ending.pid, signal.SIGTERM)


def _wait(agent: subprocess.Popen[bytes], stop: StopRequest, pass_on: Callable[[], None]) -> int:
    left = GRACE_SECONDS
    while True:
        try:
            return agent.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if not stop.requested:
                continue
            pass_on()  # again, for those that had not begun; the others ignore it
            left -= 1.0
            if left < 0:
                return -signal.SIGKILL


def _read(endings: Path) -> dict[int, Ending]:
    return {
        int(path.stem): Ending(**json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(endings.glob("*.json"))
    }


def _tell(
    code: int, endings: dict[int, Ending], local_world: int, stop: StopRequest, place: Hosts
) -> None:
    """The end of the processes as the end of the job."""
    if stop.requested:
        raise StoppedError
    if code == 0:
        if any(ending.kind == "stopped" for ending in endings.values()):
            raise StoppedError  # another host was told, and the processes agreed
        return
    by_kind = _first_of(endings)
    first_rank = place.names.index(place.current) * local_world
    fault: Any = by_kind("failed")
    if fault:
        raise TrainingFault(fault.cause)
    killed = [rank for rank, ending in endings.items() if ending.kind == "running"]
    if killed or len(endings) < local_world:
        missing = set(range(first_rank, first_rank + local_world)) - set(endings)
        ranks = ", ".join(map(str, killed or sorted(missing)))
        raise TrainingFault(
            f"process {ranks} of {local_world * len(place.names)} was killed: the kernel does so "
            "when memory runs out; lower batch-size, or take a larger instance"
        )
    lost = by_kind("lost")
    raise TrainingFault(lost.cause if lost else f"torchrun ended with exit code {code}")


def _first_of(endings: dict[int, Ending]) -> Callable[[str], Ending | None]:
    return lambda kind: next((e for e in endings.values() if e.kind == kind), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
