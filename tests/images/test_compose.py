"""docker-compose.yml from one end to the other, on the embedded data."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from ml_tree import lay_out

ROOT = Path(__file__).parents[2]


class Project:
    """A compose project of its own name, on a tree under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.name = f"byoc-test-{os.getpid()}"
        self.tree = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", "--project-name", self.name, *words],
            cwd=ROOT,
            env={**os.environ, "BYOC_ML_DIR": str(self.tree), "BYOC_PORT": str(self.port)},
            capture_output=True,
            text=True,
        )

    def left(self, docker: Any) -> str:
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (["ps", "-a"], ["network", "ls"], ["volume", "ls"])
        return "".join(docker(*kind, "--quiet", "--filter", label) for kind in kinds)


@pytest.fixture(scope="module")
def project(docker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("ml"))
    yield project
    project.compose("down", "--timeout", "5")


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text.startswith((b"[", b"{")) else text


def test_train_then_serve_then_nothing_is_left(docker: Any, project: Project) -> None:
    lay_out(project.tree)
    trained = project.compose("up", "train", "--exit-code-from", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "val_mcc=" in trained.stdout
    assert (project.tree / "model/model.safetensors").is_file()

    # --wait: until the health check, /ping from inside, says healthy.
    served = project.compose("up", "--detach", "--wait", "--wait-timeout", "180", "serve")
    assert served.returncode == 0, served.stderr + project.compose("logs", "serve").stdout
    assert ask(project.port, "GET", "/ping")[0] == 200
    status, answers = ask(project.port, "POST", "/invocations", {"inputs": ["The cat sleeps."]})
    assert status == 200
    assert [sorted(answer) for answer in answers] == [["label", "score"]]

    down = project.compose("down")
    assert down.returncode == 0, down.stderr
    assert project.left(docker) == ""


def test_a_failure_passes_its_exit_code_on(docker: Any, project: Project, tmp_path: Path) -> None:
    project.tree = tmp_path
    lay_out(tmp_path, unknown="1")
    failed = project.compose("up", "train", "--exit-code-from", "train")
    assert failed.returncode == 1
    assert "unknown" in (tmp_path / "output/failure").read_text()


def test_a_tree_that_is_not_there_is_an_error(
    docker: Any, project: Project, tmp_path: Path
) -> None:
    project.tree = tmp_path / "mistyped"
    failed = project.compose("up", "train")
    assert failed.returncode != 0
    assert "mistyped" in failed.stderr
    assert not project.tree.exists()


def test_every_service_is_valid_with_the_gpu_profile(docker: Any, project: Project) -> None:
    found = project.compose("--profile", "gpu", "config", "--format", "json")
    services = json.loads(found.stdout)["services"]
    assert set(services) == {"train", "serve", "train-gpu", "serve-gpu"}
    for name in ("train-gpu", "serve-gpu"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert services[name]["image"].endswith(":cuda")
