"""A worker's lanes on one thread, spoken to as the model server does."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_model import write_tiny_model

LANES = 3
WORKER = """
import sys
from pathlib import Path
from byoc.serving import handler, worker
from byoc.serving.lanes import serve_lanes
from byoc.serving.state import State
from byoc.serving.watchdog import Watchdog

state = State(Path(sys.argv[2]))
handler.load(Path(sys.argv[1]), state)
listener = worker.listen(Path(sys.argv[3]))
print("ready", flush=True)
serve_lanes(listener, int(sys.argv[4]), Watchdog(int(sys.argv[4])))
"""


def text(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(content)) + content


END = struct.pack("!i", -1)


def message(body: bytes, request: str = "7") -> bytes:
    headers = text("X-Byoc-Content-Type") + text("application/json") + END
    part = text("body") + text("application/json") + text(body) + END
    return b"I" + text(request) + headers + part + END


def asking(*texts: str) -> bytes:
    return json.dumps({"inputs": list(texts)}).encode()


class Lane:
    """The model server's side."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(60)
        self.connection.connect(str(path))
        self._stream = self.connection.makefile("rb")

    def _bytes(self) -> bytes:
        (length,) = struct.unpack("!i", self._stream.read(4))
        return self._stream.read(length)

    def reply(self) -> tuple[int, bytes]:
        """A reply's status and body."""
        assert self._stream.read(4) == struct.pack("!i", 200)
        self._bytes()
        assert self._bytes() == b"7"
        self._bytes()
        (status,) = struct.unpack("!i", self._stream.read(4))
        self._bytes()
        (headers,) = struct.unpack("!i", self._stream.read(4))
        for _ in range(2 * headers):
            self._bytes()
        body = self._bytes()
        assert self._stream.read(4) == END
        return status, body

    def close(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self._stream.close()

    def ask(self, *texts: str) -> list[str]:
        self.connection.sendall(message(asking(*texts)))
        status, body = self.reply()
        assert status == 200
        return [it["label"] for it in json.loads(body)]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a worker with a tiny model."""
    folder = tmp_path_factory.mktemp("loop")
    write_tiny_model(folder / "model")
    words = [folder / "model", folder, folder / "lanes", LANES]
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MMS_DECODE_INPUT_REQUEST": "false"},  # as the server itself sets it
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield folder / "lanes"
        finally:
            process.kill()


@pytest.fixture
def lane(worker: Path) -> Iterator[Lane]:
    found = Lane(worker)
    yield found
    found.close()


def test_one_request_after_the_other(lane: Lane) -> None:
    assert lane.ask("a dog sleeps") == lane.ask("a dog sleeps")


def test_the_model_is_there_when_the_server_asks_for_it(lane: Lane) -> None:
    one = struct.pack("!i", 1)
    lane.connection.sendall(
        b"L" + text("model") + text("/nowhere") + one + text("handler") + END + text("")
    )
    head = lane.connection.recv(8)
    code, length = struct.unpack("!ii", head)
    said = b""
    while len(said) < length + 4:
        said += lane.connection.recv(4096)
    assert (code, said[-4:]) == (200, END)
    assert said.startswith(b"loaded. [PID]:")
    assert lane.ask("a dog")


def test_a_request_in_pieces(lane: Lane) -> None:
    for byte in message(asking("a cat")):
        lane.connection.sendall(bytes([byte]))
    assert lane.reply()[0] == 200


def test_what_is_sent_ahead_is_answered_in_order(lane: Lane) -> None:
    lane.connection.sendall(message(asking("a")) + message(b"{") + message(asking("a", "b")))
    found = [lane.reply() for _ in range(3)]
    assert [status for status, _ in found] == [200, 400, 200]
    assert [len(json.loads(body)) for _, body in found] == [1, 1, 2]


def test_a_small_request_does_not_wait_for_a_large_one(worker: Path, lane: Lane) -> None:
    large = Lane(worker)
    large.connection.sendall(message(asking(*["the dog sees the cat "] * 5000)))
    for _ in range(3):
        assert len(lane.ask("a dog")) == 1
    large.connection.settimeout(0)
    with pytest.raises(BlockingIOError):
        large.connection.recv(1, socket.MSG_PEEK)
    large.connection.settimeout(60)
    assert len(json.loads(large.reply()[1])) == 5000
    large.close()


def test_a_reply_that_is_read_late_arrives_whole(worker: Path, lane: Lane) -> None:
    """Larger than what a socket holds: the rest is sent as it is read."""
    late = Lane(worker)
    late.connection.sendall(message(asking(*["a dog"] * 10_000)))
    late.connection.recv(1, socket.MSG_PEEK)
    assert lane.ask("a cat")
    assert len(json.loads(late.reply()[1])) == 10_000
    assert late.ask("a dog")
    late.close()


def test_a_lane_that_ends_makes_room_for_another(worker: Path) -> None:
    """Whether it ends idle, with a request in flight, or with rubbish."""
    wrong = b"I" + struct.pack("!i", -2)
    many = message(asking(*["a dog"] * 500))
    for rest in (b"", many, b"X", wrong, message(asking("a"))[:20]):
        lanes = [Lane(worker) for _ in range(LANES)]
        assert all(len(it.ask("a dog")) == 1 for it in lanes)
        for it in lanes:
            it.connection.sendall(rest)
            it.close()


def test_more_lanes_than_there_may_be_wait(worker: Path) -> None:
    lanes = [Lane(worker) for _ in range(LANES)]
    assert all(it.ask("a dog") for it in lanes)
    late = Lane(worker)
    late.connection.sendall(message(asking("a cat")))
    late.connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.connection.recv(1)
    late.connection.settimeout(60)
    lanes[0].close()
    assert late.reply()[0] == 200
    for it in [*lanes[1:], late]:
        it.close()
