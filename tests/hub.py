"""A small Hugging Face Hub on this machine: what its own client library asks for, over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"

Files = Mapping[str, bytes]


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _entries(files: Files) -> list[dict[str, Any]]:
    folders = sorted({name.rpartition("/")[0] for name in files if "/" in name})
    found: list[dict[str, Any]] = [
        {"type": "directory", "path": name, "size": 0, "oid": COMMIT} for name in folders
    ]
    return found + [
        {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
        for name, content in files.items()
    ]


class Handler(BaseHTTPRequestHandler):
    """/api/KIND/OWNER/NAME/…, and OWNER/NAME/resolve/REVISION/FILE, behind datasets/ or not."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _json(self, content: object, status: int = 200) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json"})

    def _send(self, body: bytes, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        self.server.asked.append("/".join(parts))
        if parts == [""]:
            self._json({})
        elif parts[0] == "api":
            self._api(parts[1], "/".join(parts[2:4]), parts[4:], body)
        else:
            kind = parts.pop(0) if parts[0] == "datasets" else "models"
            self._file(kind, "/".join(parts[:2]), "/".join(parts[4:]))

    def _api(self, kind: str, name: str, rest: list[str], body: bytes) -> None:
        files = self.server.repositories.get((kind, name))
        if files is None:
            return self._send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
        if not rest or rest[0] == "revision":
            siblings = [{"rfilename": path} for path in files]
            return self._json({"id": name, "sha": COMMIT, "siblings": siblings, "tags": []})
        if rest[0] == "tree":
            under = "/".join(rest[2:])
            entries = [e for e in _entries(files) if e["path"].startswith(under)]
            return self._json(entries)
        if rest[0] == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else []
            return self._json([e for e in _entries(files) if e["path"] in wanted])
        return self._json({}, 404)

    def _file(self, kind: str, name: str, path: str) -> None:
        content = self.server.repositories.get((kind, name), {}).get(path)
        if content is None:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            return self._send(b"", 404, headers)
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT}
        return self._send(content, 200, {**headers, "Accept-Ranges": "none"})

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    repositories: Mapping[tuple[str, str], Files]
    asked: list[str]


@contextmanager
def hub(repositories: Mapping[tuple[str, str], Files]) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that it was asked for; ``repositories``: files by (models or
    datasets, OWNER/NAME)."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.repositories, server.asked = repositories, []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.asked
        finally:
            server.shutdown()
            thread.join()
