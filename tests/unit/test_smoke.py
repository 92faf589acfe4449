from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from byoc.corpus import EMBEDDED_HYPERPARAMETERS
from byoc.launch import smoke


class Server(BaseHTTPRequestHandler):
    """Healthy; answers every invocation with ``reply``."""

    status = 200
    reply = b'[{"label": "acceptable", "score": 0.5}]'

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.reply)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    listening = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_prepare_makes_what_train_reads(tmp_path: Path) -> None:
    smoke.prepare(tmp_path)
    config = tmp_path / "input" / "config"
    hyperparameters = json.loads((config / "hyperparameters.json").read_text())
    assert hyperparameters == EMBEDDED_HYPERPARAMETERS | {"epochs": "1"}
    channels = json.loads((config / "inputdataconfig.json").read_text())
    for name in channels:
        assert list((tmp_path / "input" / "data" / name).iterdir())


def test_model_must_be_whole(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert "model.safetensors, metrics.json" in (smoke.check_model(tmp_path) or "")
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "metrics.json").touch()
    assert smoke.check_model(tmp_path) is None


def test_probe_of_a_server_that_serves(server: str) -> None:
    assert smoke.probe("unused", server) is None


@pytest.mark.parametrize(
    ("status", "reply", "words"),
    [
        (500, b"", "answered 500"),
        (200, b"no json", "not a list"),
        (200, b"[]", "not a list"),
        (200, b'{"label": "a"}', "not a list"),
        (200, b'[{"label": "a", "score": 7}]', "not a list"),
        (200, b'[{"label": 1, "score": 0.5}]', "not a list"),
    ],
)
def test_probe_of_a_server_that_does_not(
    server: str, monkeypatch: pytest.MonkeyPatch, status: int, reply: bytes, words: str
) -> None:
    monkeypatch.setattr(Server, "status", status)
    monkeypatch.setattr(Server, "reply", reply)
    assert words in (smoke.probe("unused", server) or "")


def test_probe_ends_with_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], 0, stdout="false\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    assert "ended" in (smoke.probe("gone", "http://127.0.0.1:1") or "")


def test_main_wants_to_know_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main([]) == 1
    assert "usage" in capsys.readouterr().err
