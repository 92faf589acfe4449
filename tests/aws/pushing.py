"""What the tests of build_and_push.sh share: registries, stand-in images, a checkout."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import requests

from byoc.launch.registry import KINDS


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=2).status_code in (200, 401)
        except requests.RequestException:
            return False


@dataclass
class Registry:
    """A registry on this machine; ``host`` is what an image's name begins with."""

    host: str
    auth: tuple[str, str] | None = None

    def manifest(self, name: str, tag: str) -> requests.Response:
        return self._send("GET", f"{name}/manifests/{tag}", headers={"Accept": ", ".join(KINDS)})

    def put_manifest(self, name: str, tag: str, kind: str, body: bytes) -> None:
        reply = self._send("PUT", f"{name}/manifests/{tag}", body, {"Content-Type": kind})
        assert reply.status_code == 201, reply.text

    def repositories(self) -> list[str]:
        return list(self._send("GET", "_catalog").json()["repositories"])

    def _send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://{self.host}/v2/{path}"
            return session.request(
                method, url, data=data, headers=headers, auth=self.auth, timeout=10
            )


@contextmanager
def running_registry(
    program: str, folder: Path, auth: tuple[str, str] | None = None
) -> Iterator[Registry]:
    host = f"127.0.0.1:{free_port()}"
    settings = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}",
        f"http: {{addr: '{host}'}}",
    ]
    if auth:
        secret = bcrypt.hashpw(auth[1].encode(), bcrypt.gensalt(4)).decode()
        (folder / "users").write_text(f"{auth[0]}:{secret}\n")
        settings.append(f"auth: {{htpasswd: {{realm: test, path: {folder / 'users'}}}}}")
    (folder / "config.yml").write_text("\n".join(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "serve", folder / "config.yml"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while not answers(f"http://{host}/v2/"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the registry does not answer"
        yield Registry(host, auth)
    finally:
        process.kill()
        process.wait()


@dataclass
class Images:
    """Stand-in images on the engine, all with one tag."""

    program: bytes
    tag: str = field(default_factory=lambda: f"test-{os.urandom(6).hex()}")

    def make(self, *names: str, content: bytes = b"1", working: bool = True) -> str:
        """byoc-NAME:TAG for each name; returns the tag. One that is not working is empty."""
        for name in names:
            image = f"byoc-{name}:{self.tag}"
            command = ["docker", "import", "--change", 'ENTRYPOINT ["/standin"]', "-", image]
            archive = self._archive(content, working)
            subprocess.run(command, input=archive, check=True, capture_output=True)
        return self.tag

    def push(self, name: str, repository: str) -> None:
        """Pushes byoc-NAME as REPOSITORY, past the script."""
        for command in (["tag", f"byoc-{name}:{self.tag}"], ["push", "--quiet"]):
            subprocess.run(
                ["docker", *command, f"{repository}:{self.tag}"], check=True, capture_output=True
            )

    def _archive(self, content: bytes, working: bool) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for folder in ("opt", "opt/ml", "opt/ml/model", "tmp"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            files = {"content": content} | ({"standin": self.program} if working else {})
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o755
                archive.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    def remove(self) -> None:
        listed = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]
        every = subprocess.run(listed, capture_output=True, text=True).stdout.split()
        mine = [name for name in every if name.endswith(f":{self.tag}")]
        if mine:
            subprocess.run(["docker", "rmi", "--force", *mine], capture_output=True)


def commit_all(folder: Path) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    commit = ["git", *identity, "commit", "--quiet", "--message", "test"]
    subprocess.run(commit, cwd=folder, check=True)
