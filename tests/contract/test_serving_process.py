"""The real `serve` as a child process, on a tiny model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import JSON, MISSING, Served, arguments, wait_until, write_script

from byoc.serving import inference
from byoc.serving.codecs import Inputs
from tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

TEXTS = ["the dog sleeps", "a cat", "the dog sees a cat", ""]


ECHO = """
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    return body
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Served]:
    found = Served(model.parent)
    found.seen = found.wait_ready()
    yield found
    found.close()


def test_ping_is_503_while_loading_and_then_200(served: Served) -> None:
    assert served.seen - {0} == {503, 200}


def test_predictions_are_the_models_own(served: Served, model: Path) -> None:
    expected = inference.predict_fn(Inputs(TEXTS), inference.model_fn(str(model)))
    status, found = served.invoke({"inputs": TEXTS})
    assert status == 200
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    scores = [entry["score"] for entry in expected]
    assert [entry["score"] for entry in found] == pytest.approx(scores, abs=1e-5)


def test_one_text_and_top_k(served: Served) -> None:
    status, found = served.invoke({"inputs": "a dog", "parameters": {"top_k": 2}})
    assert status == 200
    assert {entry["label"] for entry in found[0]} == {"acceptable", "unacceptable"}


def test_unknown_headers_are_tolerated(served: Served) -> None:
    headers = JSON | {
        "X-Amzn-SageMaker-Custom-Attributes": "caf\xe9",
        "X-Amzn-SageMaker-Inference-Id": "7",
        "X-Byoc-Warm-Up": "guessed",
    }
    status, found = served.invoke({"inputs": "a dog"}, headers)
    assert status == 200
    assert len(found) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"{}", JSON, 400),
        (b"", JSON, 400),
        (b'{"inputs": [1]}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"a,b", {"Content-Type": "text/csv"}, 400),
        (b"\x93NUMPY", {"Content-Type": "application/x-npy"}, 415),
        (b"\x1f\x8b", JSON | {"Content-Encoding": "gzip"}, 415),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"broken", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b'{"inputs": "a"}', JSON | {"Accept": "application/x-npy"}, 406),
        (b"x" * 6_291_457, JSON, 413),
    ],
)
def test_bad_requests(served: Served, body: bytes, headers: dict[str, str], status: int) -> None:
    found, reply_headers, reply = served.ask("POST", "/invocations", body, headers)
    assert found == status
    assert reply_headers["Content-Type"] == "application/json"
    message = json.loads(reply)["error"]
    assert 0 < len(message) < 200
    assert not [word for word in ("Traceback", "/", "torch") if word in message.split()]


def test_the_largest_body_is_taken(served: Served) -> None:
    start, end = b'{"inputs": "', b'"}'
    body = start + b"a " * ((6_291_456 - len(start) - len(end)) // 2) + end
    status, _, _ = served.ask("POST", "/invocations", body, JSON)
    assert status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models", 404),
        ("POST", "/models?url=http://localhost/x.mar", 404),
        ("DELETE", "/models/model", 404),
        ("GET", "/", 404),
        ("POST", "/predictions/model", 404),
        ("POST", "/ping", 405),
        ("GET", "/invocations", 405),
        ("OPTIONS", "/invocations", 405),
    ],
)
def test_nothing_else_is_reachable(served: Served, method: str, path: str, status: int) -> None:
    found, _, reply = served.ask(method, path)
    assert found == status
    assert json.loads(reply)["error"]


CSV, LINES, PLAIN = "text/csv", "application/jsonlines", "text/plain"


@pytest.mark.parametrize(
    ("kind", "body", "accept", "reply_kind", "count"),
    [
        (CSV, b'a dog\n"a cat, ""sees"""\n', "", CSV, 2),
        (LINES, b'"a dog"\n{"text": "a cat"}\n', "", LINES, 2),
        (PLAIN, "the dog\r\n😀\n\x07\n".encode(), LINES, LINES, 3),
        (f"{CSV}; header=present", b"id,text\n7,a dog", "text/*;q=0.5", CSV, 1),
        (LINES, b'{"text": "a", "text_pair": "b"}', "a/b, application/json;q=0.1", "json", 1),
        ("application/json", b'{"instances": ["a", "b"]}', CSV, CSV, 2),
    ],
)
def test_forms(
    served: Served, kind: str, body: bytes, accept: str, reply_kind: str, count: int
) -> None:
    headers = {"Content-Type": kind} | ({"Accept": accept} if accept else {})
    status, found, reply = served.ask("POST", "/invocations", body, headers)
    assert status == 200, reply
    assert found["Content-Type"].endswith(reply_kind)
    is_list = reply_kind == "json"
    assert (len(json.loads(reply)) if is_list else len(reply.decode().split("\n"))) == count


@pytest.mark.parametrize(
    "texts",
    [
        [""],
        ["a dog " * 17_000],
        ["é😀\u202e\x00\x1b\u2028"],
        ["a dog"] * 10_000,
    ],
    ids=["empty", "100,000 characters", "odd characters", "10,000 inputs"],
)
def test_odd_texts_have_an_answer(served: Served, texts: list[str]) -> None:
    status, found = served.invoke({"inputs": texts})
    assert status == 200
    assert len(found) == len(texts)
    assert all(0 <= entry["score"] <= 1 for entry in found)


def test_the_log_has_a_line_for_each_request_and_no_text(served: Served) -> None:
    headers = JSON | {"X-Amzn-SageMaker-Inference-Id": 'mine"'}
    body = b'{"inputs": ["unheard-of words", "a dog"]}'
    _, found, _ = served.ask("POST", "/invocations", body, headers)
    told: list[dict[str, object]] = []

    def is_there() -> bool:
        told[:] = [it for it in served.entries() if it["request_id"] == found["X-Request-Id"]]
        return bool(told)

    wait_until(is_there)
    (entry,) = told
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/invocations", 200)
    assert (entry["inputs"], entry["inference_id"]) == (2, 'mine"')
    assert entry["bytes_in"] > len(body)
    assert 0 <= entry["queue_ms"] <= entry["total_ms"] + 2
    assert 0 < entry["compute_ms"] <= entry["total_ms"] + 2
    assert "unheard-of" not in served.log.read_text()
    assert not [it for it in served.entries() if (it["method"], it["path"]) == ("GET", "/ping")]


def test_metrics_count(served: Served) -> None:
    def seen() -> dict[str, float]:
        return served.metrics()

    before = seen()
    name = 'byoc_requests_total{path="/invocations",status="200"}'
    for _ in range(3):
        served.invoke({"inputs": ["a dog"] * 5})
    wait_until(lambda: seen().get(name, 0) == before.get(name, 0) + 3)
    after = seen()
    assert after["byoc_inputs_total"] == before["byoc_inputs_total"] + 15
    for kind in ("request_seconds", "queue_seconds", "compute_seconds", "batch_requests"):
        assert after[f"byoc_{kind}_count"] >= before[f"byoc_{kind}_count"] + 3
        assert after[f'byoc_{kind}_bucket{{le="+Inf"}}'] == after[f"byoc_{kind}_count"]
    assert after["byoc_workers"] == 1
    assert after["byoc_ready"] == 1


def test_what_suits_the_instance_and_the_document(served: Served) -> None:
    found = json.loads(served.ask("GET", "/execution-parameters")[2])
    assert set(found) == {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}
    document = json.loads(served.ask("GET", "/openapi.json")[2])
    assert "/invocations" in document["paths"]


def test_a_query_changes_nothing(served: Served) -> None:
    body = b'{"inputs": "a dog"}'
    status, _, _ = served.ask("POST", "/invocations?model_name=other&body=x", body, JSON)
    assert status == 200


def test_two_servers_on_one_machine(served: Served, tmp_path: Path) -> None:
    write_script(tmp_path, ECHO)
    second = Served(tmp_path)
    try:
        second.wait_ready()
        assert second.ask("POST", "/invocations", b"mine")[2] == b"mine"
        assert served.invoke({"inputs": "a dog"})[0] == 200
        assert second.stop() == 0
        assert served.ping() == 200
    finally:
        second.close()


def test_a_dead_worker_is_replaced(served: Served) -> None:
    worker = processes_of_workers(served)[-1]
    os.kill(worker, signal.SIGKILL)
    # A fork of the process that loaded the model takes its place: /ping may well miss it.
    wait_until(lambda: served.invoke({"inputs": "a dog"})[0] == 200, 10)
    assert worker not in served.descendants()


def test_ping_is_503_while_no_worker_lives(served: Served) -> None:
    before = processes_of_workers(served)
    for process in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: served.ping() == 503)
    wait_until(lambda: served.ping() == 200)
    assert served.invoke({"inputs": "a dog"})[0] == 200
    assert not set(before) & set(served.descendants())


def processes_of_workers(served: Served) -> list[int]:
    """The one that loaded the model, and its forks, which answer."""
    found = [pid for pid in served.descendants() if "--listen" in arguments(pid)]
    return sorted(found)


SLOW = """
import time
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    open(body.decode(), "w").close()
    time.sleep(1)
    return "answered"
"""


def test_sigterm_answers_what_is_in_flight_and_leaves_nothing(tmp_path: Path) -> None:
    write_script(tmp_path, SLOW)
    server = Served(tmp_path)
    try:
        server.wait_ready()
        started = tmp_path / "started"
        with ThreadPoolExecutor() as pool:
            reply = pool.submit(server.ask, "POST", "/invocations", str(started).encode())
            wait_until(started.exists)
            assert server.stop() == 0
            assert reply.result()[0] == 200
            assert reply.result()[2] == b"answered"
        assert server.descendants() == []
        assert list(server.temporary.iterdir()) == []
    finally:
        server.close()


def remove_model(folder: Path) -> None:
    shutil.rmtree(folder)


def break_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def break_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')


def break_script(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text("def model_fn(folder):\n    exit(0)\n")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (remove_model, "no model"),
        (break_weights, "model.safetensors is broken"),
        (break_config, "config.json is not valid JSON"),
        (break_type, "no-such-model"),
        (break_script, "SystemExit"),
    ],
)
def test_a_broken_model_ends_it_with_the_cause(
    model: Path, tmp_path: Path, damage: Callable[[Path], None], cause: str
) -> None:
    shutil.copytree(model, tmp_path / "model")
    damage(tmp_path / "model")
    server = Served(tmp_path)
    assert server.process.wait(30) == 1
    last = server.log.read_text().splitlines()[-1]
    assert last.startswith("serve: ")
    assert cause in last
    assert server.descendants() == []


def test_a_missing_program_is_named_with_its_package(model: Path, tmp_path: Path) -> None:
    server = Served(model.parent, PATH=str(tmp_path))
    assert server.process.wait(30) == 1
    assert "java is not installed: apt-get install openjdk" in server.log.read_text()


def test_a_taken_port_is_named(model: Path, served: Served) -> None:
    second = Served(model.parent, SAGEMAKER_BIND_TO_PORT=str(served.port))
    assert second.process.wait(30) == 1
    assert f"cannot listen on port {served.port}" in second.log.read_text()


HANGING = """
import time
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    if body == b"hang":
        time.sleep(600)
    return body
"""


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    write_script(tmp_path, HANGING)
    server = Served(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    try:
        server.wait_ready()
        status, _, body = server.ask("POST", "/invocations", b"hang")
        assert status in {500, 502, 504}
        assert json.loads(body)["error"]
        wait_until(lambda: server.ask("POST", "/invocations", b"again")[0] == 200)
    finally:
        server.close()


def test_a_failing_script_tells_the_caller_nothing_of_itself(tmp_path: Path) -> None:
    script = ECHO.replace("return body", "raise ValueError('secret ' + __file__)")
    write_script(tmp_path, script)
    server = Served(tmp_path)
    try:
        server.wait_ready()
        status, _, body = server.ask("POST", "/invocations", b"a")
        assert status == 500
        assert b"secret" not in body
        wait_until(lambda: "secret" in server.log.read_text())
        assert server.ping() == 200
    finally:
        server.close()
