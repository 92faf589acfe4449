"""The servers that are measured: containers of the serving image, ours and the stock one."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 180.0

STOCK = (
    "python3",
    "-c",
    "from sagemaker_inference.model_server import start_model_server; start_model_server()",
)
"""sagemaker-inference's default start: its own handler, multi-model-server's own workers."""

STOCK_SCRIPT = """\
import json
import os

from transformers import pipeline

ARGUMENTS = json.loads(os.environ["STOCK_ARGUMENTS"])


def model_fn(model_dir, context=None):
    device = os.environ.get("STOCK_DEVICE")
    return pipeline("text-classification", model=model_dir, tokenizer=model_dir, device=device)


def input_fn(body, content_type, context=None):
    return json.loads(body)["inputs"]


def predict_fn(data, model, context=None):
    return model(data, **ARGUMENTS)


def output_fn(prediction, accept, context=None):
    return json.dumps(prediction), accept
"""

_MEMORY = """
import json, pathlib
found = {}
for path in pathlib.Path("/proc").iterdir():
    try:
        arguments = (path / "cmdline").read_bytes().decode()
        if path.name.isdigit() and "model_service_worker" in arguments:
            lines = (path / "smaps_rollup").read_text().splitlines()
            found[path.name] = sum(int(it.split()[1]) for it in lines if it.startswith("Pss:"))
    except OSError:
        pass
print(json.dumps(found))
"""


class ServerError(Exception):
    """A container could not be run, in one line."""


@dataclass(frozen=True)
class Peer:
    name: str
    told: str
    variables: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    model: str = "ours"
    """Which of the bench's folders it serves."""


OURS = Peer("ours", "byoc-serving as it is", {"BYOC_LOG_REQUESTS": "true"})
ALONE = Peer("batch 1", "ours, BYOC_BATCH_SIZE=1", {"BYOC_BATCH_SIZE": "1"})
STOCK_PEER = Peer(
    "stock",
    "sagemaker-inference's default start, a plain transformers pipeline",
    {"STOCK_ARGUMENTS": "{}"},
    STOCK,
    model="stock",
)
PADDED = Peer(
    "padded",
    "the same, padded to 128 tokens",
    {
        "STOCK_ARGUMENTS": json.dumps(
            {"padding": "max_length", "max_length": 128, "truncation": True}
        )
    },
    STOCK,
    model="stock",
)
ECHO = Peer("nothing", "ours, with a script that computes nothing", model="nothing")
ECHO_SCRIPT = """\
def model_fn(folder):
    return None


def transform_fn(model, body, content_type, accept):
    return '[{"label": "acceptable", "score": 0.9876543}]', "application/json"
"""


def answers(address: str, port: int) -> bool:
    """Does the model there answer a request?"""
    connection = http.client.HTTPConnection(address, port, timeout=30)
    try:
        body = json.dumps({"inputs": "the dog sleeps"})
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status == 200 and b"score" in reply.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Server:
    """A running container."""

    container: str
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}:8080"

    def answers(self) -> bool:
        return answers(self.address, 8080)

    def requests(self) -> list[dict[str, Any]]:
        """The log's lines of requests."""
        lines = docker("logs", self.container).splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"time"')]

    def memory(self) -> int:
        """Bytes of all processes that hold the model; shared pages count once."""
        found: dict[str, int] = json.loads(docker("exec", self.container, "python3", "-c", _MEMORY))
        return 1024 * sum(found.values())


@contextmanager
def running(peer: Peer, image: str, model: Path) -> Iterator[Server]:
    """A container that answers with the model in this folder; removed at the end.

    Raises ``ServerError``.
    """
    words = ["run", "--detach", "--volume", f"{model}:/opt/ml/model:ro"]
    for name, value in peer.variables.items():
        words += ["--env", f"{name}={value}"]
    container = docker(*words, image, *peer.command).strip()
    try:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        server = Server(container, docker("inspect", "--format", form, container).strip())
        end = time.monotonic() + LIMIT_SECONDS
        while not server.answers():
            if time.monotonic() > end or docker("ps", "-q", "--no-trunc").find(container) < 0:
                raise ServerError(f"{peer.name}: {docker('logs', '--tail', '2', container)}")
            time.sleep(0.2)
        yield server
    finally:
        docker("rm", "--force", "--volumes", container)


def docker(*words: str) -> str:
    """stdout (of logs stderr too) of `docker WORDS…`; raises ``ServerError``."""
    try:
        done = subprocess.run(
            ["docker", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if words[0] == "logs" else subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ServerError(f"docker: {error.strerror}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise ServerError(f"docker {words[0]}: {lines[-1]}")
    return done.stdout
