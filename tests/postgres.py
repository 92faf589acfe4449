"""A real PostgreSQL server for a test: a cluster of its own, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "pass word/1"
_QUOTED = "pass%20word%2F1"


def programs() -> Path | None:
    """The folder of the newest server's programs: Debian's lies outside PATH."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    return found[-1].parent if found else None


def missing() -> str:
    """Why no server can run here; empty where one can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian's package postgresql)"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(it) for it in path.parts[-3].split(".") if it.isdigit())


def _user() -> pwd.struct_passwd | None:
    return next((it for it in pwd.getpwall() if it.pw_name == "postgres"), None)


class Postgres:
    """A cluster in ``folder``; ``url`` as SQLAlchemy wants it, with the password."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql+psycopg://byoc:{_QUOTED}@127.0.0.1:{self._port}/postgres"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, secret):
                shutil.chown(path, "postgres", "postgres")
        asks = ["--auth=scram-sha-256", "--username=byoc", f"--pwfile={secret}"]
        self._run("initdb", *asks, "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        """As a crash would: open transactions are lost, and clients find their connections cut."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        other = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        found = subprocess.run(
            [folder / program, *arguments, "-D", str(self._folder / "data")],
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would stay open
            stderr=(self._folder / "errors").open("w"),
            cwd=self._folder,
            **other,  # type: ignore[call-overload]
        )
        assert found.returncode == 0, (self._folder / "errors").read_text()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that runs, and whose folder is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="byoc-postgres-"))
    try:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
