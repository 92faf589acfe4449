"""moto's AWS, with and without a server in front of it; a real registry and small stand-in images
for the tests of build_and_push.sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from account import Account, make_account
from front import Front
from pushing import Images, Registry, commit_all, free_port, running_registry

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


@pytest.fixture(scope="session")
def engine() -> None:
    if subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers: docker/engine.sh sets one up")


@pytest.fixture(scope="session")
def registry_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's docker-registry: as installed, else unpacked into a temporary folder."""
    if found := shutil.which("docker-registry"):
        return found
    folder = tmp_path_factory.mktemp("docker-registry")
    command = (
        "apt-get download docker-registry || (apt-get update && apt-get download docker-registry)"
    )
    command = f"({command}) && dpkg -x docker-registry_*.deb ."
    subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True)
    program = folder / "usr/bin/docker-registry"
    if not program.exists():
        pytest.skip("no docker-registry: apt-get install docker-registry")
    return str(program)


@pytest.fixture(scope="session")
def registry(
    engine: None, registry_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """One without a login."""
    with running_registry(registry_program, tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def ecr_registry(
    engine: None, registry_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """One that takes only the login which moto's ECR gives out."""
    login = ("AWS", "123456789012-auth-token")
    with running_registry(registry_program, tmp_path_factory.mktemp("ecr"), login) as found:
        yield found


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of moto's AWS."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def aws(moto_server: str) -> dict[str, str]:
    """The environment in which moto is AWS, empty."""
    requests.post(f"{moto_server}/moto-api/reset", timeout=10)
    return {
        "AWS_ENDPOINT_URL": moto_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }


@pytest.fixture(scope="session")
def _front(moto_server: str) -> Iterator[Front]:
    made = Front(("127.0.0.1", int(moto_server.rpartition(":")[2])))
    yield made
    made.close()


@pytest.fixture
def front(_front: Front, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Front:
    """AWS, empty, with everything in the environment that this process and its children need."""
    _front.reset()
    variables = {
        **aws,
        "AWS_ENDPOINT_URL": _front.address,
        "AWS_DEFAULT_REGION": aws["AWS_REGION"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return _front


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The stand-in program, compiled."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc: apt-get install gcc libc6-dev")
    program = tmp_path_factory.mktemp("standin") / "standin"
    subprocess.run(["gcc", "-static", "-Os", "-o", program, HERE / "standin.c"], check=True)
    return program.read_bytes()


@pytest.fixture
def images(engine: None, standin: bytes) -> Iterator[Images]:
    made = Images(standin)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def clean_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This work tree as it is, all of it committed: a push wants no uncommitted change."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in filter(None, names.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    subprocess.run(["git", "init", "--quiet", "."], cwd=folder, check=True)
    commit_all(folder)
    return folder


@pytest.fixture
def account(front: Front) -> Account:
    """What a job on AWS needs is there; the calls that made it are forgotten."""
    made = make_account()
    front.calls.clear()
    return made
