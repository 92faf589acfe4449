"""SageMaker's /models API, on the real `serve`; models are scripts, which load in no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from served import JSON, MISSING, Served, arguments, wait_until, write_script

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

NAMED = """
def model_fn(folder):
    return folder
def transform_fn(model, body, content_type, accept):
    return model.rsplit("/", 2)[1]
"""
CRASHING = NAMED.replace(
    "return model.rsplit", "__import__('os')._exit(9)\n    return model.rsplit"
)
NAMES = ["plain", "a/b+c é", "0" * 200, "a%2Fb"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("multi"), SAGEMAKER_MULTI_MODEL="true")
    found.wait_ready()
    yield found
    assert found.stop() == 0
    assert found.descendants() == []


def load(served: Served, name: str, folder: Path) -> tuple[int, str]:
    body = json.dumps({"model_name": name, "url": str(folder)}).encode()
    status, _, reply = served.ask("POST", "/models", body, JSON)
    return status, reply.decode()


def call(served: Served, method: str, name: str, after: str = "") -> tuple[int, bytes]:
    path = f"/models/{quote(name, safe='')}{after}"
    status, _, reply = served.ask(method, path, b"x" if method == "POST" else None)
    return status, reply


def names(served: Served) -> list[str]:
    found = json.loads(served.ask("GET", "/models")[2])
    return [entry["modelName"] for entry in found["models"]]


@pytest.mark.parametrize("name", NAMES)
def test_load_describe_invoke_unload(served: Served, tmp_path: Path, name: str) -> None:
    assert served.ping() == 200
    assert names(served) == []
    folder = write_script(tmp_path, NAMED)
    assert load(served, name, folder)[0] == 200
    assert load(served, name, folder)[0] == 409
    assert names(served) == [name]
    status, reply = call(served, "GET", name)
    assert (status, json.loads(reply)) == (200, {"modelName": name, "modelUrl": str(folder)})
    assert call(served, "POST", name, "/invoke") == (200, tmp_path.name.encode())
    assert call(served, "GET", name, "/invoke")[0] == 405
    assert workers(served)
    assert call(served, "DELETE", name)[0] == 200
    assert workers(served) == []  # gone before the reply, and their memory with them
    for method, after in (("GET", ""), ("DELETE", ""), ("POST", "/invoke")):
        assert call(served, method, name, after)[0] == 404


def workers(served: Served) -> list[int]:
    return [pid for pid in served.descendants() if "model_service_worker" in arguments(pid)]


def test_a_broken_model_hurts_no_other(served: Served, tmp_path: Path) -> None:
    good, crashing = (
        write_script(tmp_path / "good", NAMED),
        write_script(tmp_path / "crashing", CRASHING),
    )
    broken = write_script(tmp_path / "broken", "def model_fn(folder):\n    exit(0)\n")
    (tmp_path / "empty").mkdir()
    assert load(served, "good", good)[0] == 200
    for folder in (broken, tmp_path / "empty", tmp_path / "none"):
        status, reply = load(served, "bad", folder)
        assert status == 400
        assert str(tmp_path) not in reply
        assert json.loads(reply)["error"]
    assert load(served, "crashing", crashing)[0] == 200
    assert call(served, "POST", "crashing", "/invoke")[0] in {500, 502, 503}
    assert call(served, "POST", "good", "/invoke")[0] == 200
    assert served.ping() == 200
    wait_until(lambda: len(workers(served)) >= 3)
    for name in ("good", "crashing"):
        assert call(served, "DELETE", name)[0] == 200
    assert workers(served) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"model_name": "a"}', b'{"model_name": "", "url": "/a"}',
     b'{"model_name": "a", "url": "http://example.com/a"}', b'{"model_name": 1, "url": "/a"}'],
)  # fmt: skip
def test_bad_requests_to_load(served: Served, body: bytes) -> None:
    status, _, reply = served.ask("POST", "/models", body, JSON)
    assert status == 400
    assert json.loads(reply)["error"]


def test_single_model_paths_are_not_there(served: Served) -> None:
    assert served.ask("POST", "/invocations", b"{}", JSON)[0] == 404
    assert served.ask("GET", "/models?next_page_token=!")[0] == 400
    assert served.ask("PUT", "/models")[0] == 405
