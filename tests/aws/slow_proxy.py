"""Something between a client and moto's server: counts what passes, and can hold it up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests

HOP = {"connection", "transfer-encoding", "content-length", "content-encoding"}


class Proxy:
    """``parts``: how often each part of a multipart upload got through, by its number;
    ``puts``: the keys of whole objects; ``most``: parts that get through, None for all."""

    def __init__(self, target: str, url: str) -> None:
        self.target, self.url = target, url
        self.parts: Counter[str] = Counter()
        self.puts: list[str] = []
        self.most: int | None = None
        self.held = threading.Event()
        self._released = threading.Event()
        self._lock = threading.Lock()

    def release(self) -> None:
        self._released.set()

    def passes(self, number: str | None) -> bool:
        """Waits with all parts beyond ``most``; False once they are let go: to nowhere."""
        if number is None or self.most is None:
            return True
        with self._lock:
            if self.most > 0:
                self.most -= 1
                return True
        self.held.set()
        self._released.wait(60)
        return False

    def count(self, path: str, number: str | None) -> None:
        with self._lock:
            if number is None:
                self.puts.append(path)
            else:
                self.parts[number] += 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _forward(self) -> None:
        found = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        number = parse_qs(parts.query).get("partNumber", [None])[0]
        if self.command == "PUT" and not found.passes(number):
            self.close_connection = True
            return
        answer = requests.request(
            self.command,
            found.target + self.path,
            data=body,
            headers={**self.headers, "Connection": "close"},
            allow_redirects=False,
            timeout=60,
        )
        if self.command == "PUT" and answer.ok:
            found.count(parts.path, number)
        with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
            self._answer(answer)

    def _answer(self, answer: requests.Response) -> None:
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = answer.headers.get("Content-Length") if is_head else None
        self.send_header("Content-Length", length or str(len(answer.content)))
        self.end_headers()
        if not is_head:
            self.wfile.write(answer.content)

    def do_GET(self) -> None:
        self._forward()

    def do_PUT(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.proxy = Proxy(target, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.proxy
        finally:
            server.proxy.release()
            server.shutdown()
            thread.join()
