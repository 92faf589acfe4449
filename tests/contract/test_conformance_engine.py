"""What a check makes in the engine is gone afterwards, however it ended."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from byoc.conformance import registry
from byoc.conformance.engine import LABEL, Engine
from byoc.conformance.image import Image

HOLD = """
import sys, time
from byoc.conformance import registry
from byoc.conformance.engine import Engine
with Engine() as engine:
    network = engine.network()
    container = engine.container(
        sys.argv[1], command=["sleep", "600"], network=network.name, volumes=["/kept"]
    )
    container.start()
    container.reload()
    print(engine.scratch, engine._owner, container.attrs["Mounts"][0]["Name"], flush=True)
    time.sleep(600)
"""


def left(owner: str) -> list[Any]:
    """Containers and networks of that run."""
    client = docker.from_env()
    mine = {"label": f"{LABEL}={owner}"}
    try:
        return [
            *client.containers.list(all=True, filters=mine, ignore_removed=True),
            *client.networks.list(filters=mine),
        ]
    finally:
        client.close()


def volumes() -> set[str]:
    client = docker.from_env()
    try:
        return {it.name for it in client.volumes.list()}
    finally:
        client.close()


def test_all_containers_get_the_hosts_gpus_if_told(training: Image) -> None:
    """As `docker run --gpus all` asks for them; not started here, where there is none."""
    for gpu, wanted in ((True, [-1]), (False, [])):
        with Engine(gpu=gpu) as engine:
            container = engine.container(training.name, command=["true"])
            container.reload()
            asked = container.attrs["HostConfig"]["DeviceRequests"] or []
            assert [it["Count"] for it in asked] == wanted


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(training: Image, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, training.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        scratch, owner, volume = run.stdout.readline().split()
        assert len(left(owner)) == 2
        assert volume in volumes()
        run.send_signal(how)
    if how is signal.SIGKILL:
        # Nobody can clean up then: the next run does.
        assert len(left(owner)) == 2
        Engine().close()
    assert left(owner) == []
    assert volume not in volumes()
    assert not Path(scratch).exists()


def test_ctrl_c_in_the_middle_of_a_check(training: Image) -> None:
    program = "from byoc.cli import main; main()"
    words = ["-c", program, "check", training.given_name, "--only", "T01,T02"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as run:
        end = time.monotonic() + 60
        while not (found := running(run.pid)):
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
        assert run.stderr is not None
        assert run.stderr.read().splitlines()[-1] == "byoc: interrupted"
    assert left(found[0].labels[LABEL]) == []


@pytest.mark.skipif(
    shutil.which(registry.PROGRAM) is None, reason=f"{registry.PROGRAM} is not installed"
)
def test_ctrl_c_in_the_middle_of_a_push(training: Image) -> None:
    """A push of gigabytes is not waited for, and the name in the registry goes."""
    program = "from byoc.cli import main; main()"
    words = ["-c", program, "check", training.given_name, "--only", "I01"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) as run:
        end = time.monotonic() + 120
        while not pushed(run.pid):
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 130
    assert pushed(run.pid) == []
    assert list(Path(tempfile.gettempdir()).glob(f"byoc-check.*-{run.pid}-*")) == []


def pushed(pid: int) -> list[str]:
    """Names of images that the run with this id gave them to push them."""
    client = docker.from_env()
    try:
        names = [name for it in client.images.list() for name in it.tags]
    finally:
        client.close()
    return [it for it in names if re.search(rf"/byoc-check:.*-{pid}-", it)]


def running(pid: int) -> list[Any]:
    client = docker.from_env()
    try:
        return [
            it
            for it in client.containers.list(filters={"label": LABEL}, ignore_removed=True)
            if f"-{pid}-" in it.labels[LABEL]
        ]
    finally:
        client.close()
