"""nginx as `serve` sets it up, in front of a model server that says whatever it is told to."""

from __future__ import annotations

import http.client
import json
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from served import free_port, wait_until

from byoc.serving import nginx
from byoc.serving.settings import read_settings
from byoc.serving.state import State

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="not installed: nginx")


class ToldWhat(BaseHTTPRequestHandler):
    """Replies with the status and headers that the request's body names."""

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = b'{"error": "com.amazonaws.ml.mms said so"}'
        self.send_response_only(told["status"])
        for name, value in told["headers"].items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


class ModelServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """nginx does not wait for words that it puts its own in place of."""


class Front:
    def __init__(self, folder: Path) -> None:
        self.state, self.port = State(folder), free_port()
        self._server = ModelServer(str(self.state.inference_socket), ToldWhat)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        settings = read_settings({"SAGEMAKER_BIND_TO_PORT": str(self.port)})
        self._process = subprocess.Popen(nginx.command(settings, self.state))
        wait_until(lambda: self.ask("GET", "/ping")[0] != 0)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; status 0 while nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        except ConnectionError:
            return 0, {}, b""
        finally:
            connection.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with tempfile.TemporaryDirectory() as folder:  # short enough for the names of sockets
        found = Front(Path(folder))
        yield found
        found.close()


BY_A_WORKER = {"X-Byoc-Compute": "1"}


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, 502),
        (500, BY_A_WORKER, 500),
        (503, {}, 503),
        (507, {}, 503),
        (404, {}, 404),
        (413, {}, 413),
    ],
)
def test_the_model_servers_own_errors_get_other_words(
    front: Front, status: int, headers: dict[str, str], expected: int
) -> None:
    asked = json.dumps({"status": status, "headers": headers}).encode()
    found, replied, body = front.ask("POST", "/invocations", asked)
    assert found == expected
    assert replied["Content-Type"] == "application/json"
    said = json.loads(body)
    assert "amazonaws" not in said["error"]
    if found >= 500:
        assert said["request_id"] == replied["X-Request-Id"]
    assert ("Retry-After" in replied) is (found == 503)


@pytest.mark.parametrize("status", [200, 400, 406, 415, 422])
def test_a_workers_words_are_kept(front: Front, status: int) -> None:
    asked = json.dumps({"status": status, "headers": BY_A_WORKER | {"X-Own": "kept"}}).encode()
    found, replied, body = front.ask("POST", "/invocations", asked)
    assert found == status
    assert b"said so" in body
    assert replied["X-Own"] == "kept"
    assert "X-Byoc-Compute" not in replied


def test_ping_is_by_the_ready_file_alone(front: Front) -> None:
    for ready, status in ((True, 200), (False, 503)):
        front.state.set_ready(ready)
        found, replied, _ = front.ask("GET", "/ping")
        assert found == status
        assert ("Retry-After" in replied) is not ready
