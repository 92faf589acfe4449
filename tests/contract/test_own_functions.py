"""A model that brings its own code/inference.py, and what that asks for."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import JSON, MISSING, Served, wait_until, write_script

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

SCRIPT = """
import os, sys
from sagemaker_inference.errors import GenericInferenceToolkitError
from byoc.serving.faults import RequestFault
import greetings
import helper

def model_fn(model_dir, context):
    return {"dir": os.path.basename(model_dir), "gpu": context.system_properties["gpu_id"]}

def input_fn(body, content_type):
    if content_type == "text/bad":
        raise GenericInferenceToolkitError(422, "the caller's fault")
    if content_type == "text/worse":
        raise RequestFault(400, "field x is missing")
    return body.decode()

def predict_fn(data, model):
    if data == "fail":
        raise ValueError("told to the log alone")
    return {"said": data, "greeting": greetings.WORD, "helped": helper.WORD, **model}

def output_fn(prediction, accept):
    return prediction
"""


@pytest.fixture(scope="module")
def greetings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a package that nobody has."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "greetings.py").write_text('WORD = "hello"\n')
    (folder / "pyproject.toml").write_text(
        textwrap.dedent("""
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "byoc-test-greetings"
        version = "1.0"
        dependencies = ["setuptools"]
        [tool.setuptools]
        py-modules = ["greetings"]
        """)
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"]
    subprocess.run([*command, "--no-deps", "-w", folder, folder], check=True)
    return next(folder.glob("*.whl"))


def test_functions_requirements_and_the_callers_faults(tmp_path: Path, greetings: Path) -> None:
    model = write_script(tmp_path, SCRIPT)
    (model / "code/helper.py").write_text('WORD = "beside"\n')
    (model / "code/requirements.txt").write_text(f"{greetings}\n")
    server = Served(tmp_path, BYOC_LOG_TEXTS="true")
    try:
        server.wait_ready()
        status, headers, body = server.ask("POST", "/invocations", b"x", {"Content-Type": "a/b"})
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body) == {
            "said": "x",
            "greeting": "hello",
            "helped": "beside",
            "dir": "model",
            "gpu": None,
        }
        for kind, status, said in (("text/bad", 422, "caller"), ("text/worse", 400, "field x")):
            found, _, body = server.ask("POST", "/invocations", b"x", {"Content-Type": kind})
            assert found == status
            assert said in json.loads(body)["error"]
        status, headers, body = server.ask("POST", "/invocations", b"fail", JSON)
        assert status == 500
        told = json.loads(body)
        assert "log alone" not in told["error"]
        assert told["request_id"] == headers["X-Request-Id"]
        wait_until(lambda: len(entries(server, told["request_id"])) == 3)
        found = entries(server, told["request_id"])
        (text,) = (entry for entry in found if "body" in entry)
        (fault,) = (entry for entry in found if "traceback" in entry)
        (line,) = (entry for entry in found if "status" in entry)
        assert text["body"] == "fail"
        assert "told to the log alone" in fault["error"]
        assert "predict_fn" in fault["traceback"]
        assert line["status"] == 500
    finally:
        server.close()
    assert not list(Path(sys.prefix).rglob("greetings.py"))


def entries(server: Served, request_id: str) -> list[dict[str, object]]:
    return [entry for entry in server.entries() if entry["request_id"] == request_id]


def test_what_cannot_be_installed_is_named(tmp_path: Path) -> None:
    model = write_script(tmp_path, SCRIPT)
    (model / "code/requirements.txt").write_text("./no-such-file.whl\n")
    server = Served(tmp_path)
    assert server.process.wait(60) == 1
    last = server.log.read_text().splitlines()[-1]
    assert last.startswith("serve: what code/requirements.txt asks for cannot be installed: ")
    assert "no-such-file" in last


def test_the_scripts_name_by_variable(tmp_path: Path) -> None:
    model = write_script(tmp_path, "def model_fn(folder):\n    raise SystemExit('wrong one')\n")
    (model / "code/own.py").write_text(
        "def model_fn(folder):\n    return 0\n"
        "def transform_fn(model, body, content_type, accept, context):\n"
        "    return context.get_request_header(0, 'x-own') or 'none'\n"
    )
    server = Served(tmp_path, SAGEMAKER_PROGRAM="own.py")
    try:
        server.wait_ready()
        _, headers, body = server.ask("POST", "/invocations", b"x", {"X-Own": "mine"})
        assert body in {b"mine", b"none"}
        assert headers["Content-Type"] == "application/json"
    finally:
        server.close()


ODD = """
import sys
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    said = body.decode()
    if said == "exit":
        sys.exit(3)
    if said == "surrogate":
        return "\\ud800"
    if said == "kind":
        return "x", 7
    if said == "line break":
        return "x", "a/b\\r\\nX-Evil: 1"
    if said == "fail":
        raise ValueError("no")
    return said, accept
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("odd")
    write_script(base, ODD)
    found = Served(base)
    found.wait_ready()
    yield found
    assert found.metrics()["byoc_worker_restarts_total"] == 0
    assert found.stop() == 0


def say(served: Served, body: str, **headers: str) -> tuple[int, bytes]:
    sent = {name: value.encode() for name, value in headers.items()}
    status, found, reply = served.ask("POST", "/invocations", body.encode(), sent)
    assert "X-Evil" not in found
    return status, reply


@pytest.mark.parametrize("body", ["exit", "surrogate", "kind", "line break", "fail"])
def test_what_a_script_cannot_mean_is_500_and_harms_no_other(odd: Served, body: str) -> None:
    assert say(odd, body)[0] == 500
    assert say(odd, "next") == (200, b"next")


@pytest.mark.parametrize(
    ("accept", "status"), [("\xe9", 406), ("a/b; c=\U0001f600", 406), ("a/" + "b" * 5000, 200)]
)
def test_odd_accepts_harm_no_other(odd: Served, accept: str, status: int) -> None:
    assert say(odd, "x", Accept=accept)[0] == status
    assert say(odd, "next") == (200, b"next")


def test_a_long_reply_may_follow_many_short_ones(odd: Served) -> None:
    """The model server makes its buffer smaller meanwhile."""
    for _ in range(2):
        assert {say(odd, "", Accept="a/b")[0] for _ in range(100)} == {200}
        assert say(odd, "fail")[0] == 500
        assert say(odd, "x" * 100_000) == (200, b"x" * 100_000)
