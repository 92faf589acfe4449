"""Requests of all kinds: what /openapi.json calls valid is answered, nothing breaks the server.

``BYOC_FUZZ_REQUESTS``: how many, in all; `make fuzz-serving` sends 20,000.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks
from served import MISSING, Served

from tiny_model import write_tiny_model

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.timeout(3600),
]

REQUESTS = int(os.environ.get("BYOC_FUZZ_REQUESTS", "800"))
ALL = list(hypothesis.HealthCheck)
FORBIDDEN = re.compile(
    r"Traceback|File \"|\.py\b|/opt/|/tmp/|site-packages|torch|transformers|tokenizers|nginx|netty"
    r"|java|com\.amazonaws|mms|Exception",
    re.IGNORECASE,
)
QUOTED = re.compile(r'Accept "(?:[^"\\]|\\.)*"')
"""The caller's own, which may be anything, in a refusal."""
REFUSALS = {400, 404, 405, 406, 408, 411, 413, 414, 415, 431}
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer("application/jsonlines", "text/csv")
def as_text(_context: Any, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


IS_LONG = REQUESTS >= 10_000
KINDS = {"unknown": "auto", "pairs": "true", "single": "false"}


@pytest.fixture(scope="module", params=list(KINDS) if IS_LONG else ["unknown"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of a model that takes single texts, pairs, or nobody knows what."""
    base = tmp_path_factory.mktemp("fuzz")
    write_tiny_model(base / "model")
    found = Served(base, BYOC_TEXT_PAIRS=KINDS[request.param], BYOC_LOG_REQUESTS="false")
    found.wait_ready()
    yield found
    assert found.ping() == 200
    assert found.metrics()["byoc_worker_restarts_total"] == 0
    assert found.stop() == 0
    assert "Traceback" not in found.log.read_text()


def examples(share: float) -> Callable[[Any], Any]:
    """So many of all requests; the long form sends them to three servers."""
    count = max(20, int(REQUESTS * share / (len(KINDS) if IS_LONG else 1)))
    return hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=ALL
    )


def operation(served: Served) -> Any:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
    return schema["/invocations"]["POST"]


def wanted(case: Any) -> int:
    """How many results a valid body must get."""
    body = case.body
    if case.media_type == "application/json":
        inputs = body.get("inputs", body.get("instances"))
        return len(inputs) if isinstance(inputs, list) else 1
    if case.media_type == "text/csv":
        return len(list(csv.reader(io.StringIO(body, newline=""))))
    return body.removesuffix("\n").count("\n") + 1


def results(reply: Any) -> int:
    if reply.headers["content-type"] == ["application/json"]:
        return len(reply.json())
    return reply.text.count("\n") + 1


def expect_refusal(status: int, body: bytes) -> None:
    """Short, of JSON, with a cause and nothing of the server's insides."""
    assert status in REFUSALS, (status, body[:300])
    message = json.loads(body)["error"]
    assert 0 < len(message) < 400
    assert not FORBIDDEN.search(QUOTED.sub("", message)), message


def test_what_the_document_calls_valid_is_answered(served: Served) -> None:
    session, seen = requests.Session(), Counter()
    strategy = operation(served).as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    accepts = st.sampled_from(["", "*/*", "application/json", "text/csv", "application/jsonlines"])

    @examples(0.5)
    @hypothesis.given(case=strategy, accept=accepts)
    def run(case: Any, accept: str) -> None:
        reply = case.call(session=session, headers={"Accept": accept} if accept else None)
        assert reply.status_code == 200, (case.media_type, case.body, reply.text[:300])
        assert results(reply) == wanted(case), (case.media_type, case.body, reply.text[:300])
        case.validate_response(reply, checks=CHECKS)
        seen[case.media_type] += 1

    run()
    assert len(seen) == 4, seen


def test_what_the_document_calls_invalid_is_refused(served: Served) -> None:
    session = requests.Session()
    strategy = operation(served).as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @examples(0.2)
    @hypothesis.given(case=strategy)
    def run(case: Any) -> None:
        reply = case.call(session=session)
        # A text may be taken that no pattern matches: patterns are what is taken for sure.
        if reply.status_code != 200 or case.media_type == "application/json":
            expect_refusal(reply.status_code, reply.content)

    run()


TYPES = [
    "application/json",
    "application/jsonlines",
    "text/csv",
    "text/csv; header=present",
    "text/plain",
    "text/plain;charset=latin1",
    "text/plain; charset=utf-16",
    "application/x-npy",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "a",
    ";",
    "",
]
ODD = st.sampled_from(
    [
        b"",
        b"\n",
        b"\x00",
        b"\xef\xbb\xbf",
        b'"',
        b'a,"b',
        b"[" * 10_000,
        b'{"inputs":' * 3000,
        b'{"inputs": 1e999}',
        b'{"inputs": NaN}',
        b'{"inputs": "\\ud800"}',
        b'{"inputs": ["a"' + b',"a"' * 10_000 + b"]}",
        '{"inputs": "😀\u202e"}'.encode() * 2,
        b"\x93NUMPY\x01\x00v\x00{'descr'",
        b"\x80\x04\x95",
    ]
)
LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


def test_anything_at_all(served: Served) -> None:
    session = requests.Session()
    url = f"http://127.0.0.1:{served.port}"
    pieces = st.lists(st.sampled_from([*b'{}[]":,\n\r\t \\"inputsxa0', *b'{"inputs": "a"}']))

    @examples(0.25)
    @hypothesis.given(
        method=st.sampled_from(["POST"] * 6 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
        path=st.sampled_from(
            ["/invocations"] * 8 + ["/ping", "/models", "/metrics", "/", "/..%2f"]
        ),
        query=st.sampled_from(["", "?", "?model_name=x", "?a=b&a=c", "?%00"]),
        kind=st.sampled_from(TYPES),
        accept=st.one_of(st.sampled_from(["", "text/csv;q=2", "*/*;q=0", ";;,", "a/b"]), LATIN),
        own=LATIN,
        body=st.one_of(st.binary(max_size=2000), pieces.map(bytes), ODD),
    )
    def run(
        method: str, path: str, query: str, kind: str, accept: str, own: str, body: bytes
    ) -> None:
        headers = {
            "Content-Type": kind,
            "Accept": accept.strip().encode("latin-1"),
            "X-Amzn-SageMaker-Custom-Attributes": own.strip().encode("latin-1"),
        }
        reply = session.request(method, url + path + query, data=body, headers=headers, timeout=60)
        if reply.status_code != 200 and method != "HEAD":
            expect_refusal(reply.status_code, reply.content)
        assert reply.status_code == 200 or reply.status_code in REFUSALS

    run()


def test_what_is_no_http(served: Served) -> None:
    lines = st.sampled_from(
        [
            b"POST /invocations HTTP/1.1",
            b"GET /ping HTTP/1.0",
            b"GET /ping",
            b"Host: a",
            b"Content-Length: 3",
            b"Content-Length: -1",
            b"Content-Length: 3, 4",
            b"Content-Length: 99999999999",
            b"Transfer-Encoding: chunked",
            b"Expect: 100-continue",
            b"Connection: close",
            b" folded: x",
            b"A" * 9000 + b": b",
            b"A: " + b"b" * 40_000,
            b"\xff\xfe",
            b"zz",
            b"abc",
            b"0",
            b"",
        ]
    )

    @examples(0.05)
    @hypothesis.given(st.lists(lines, min_size=1, max_size=8))
    def run(found: list[bytes]) -> None:
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
            connection.sendall(b"\r\n".join(found) + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            said = b""
            try:
                while piece := connection.recv(65536):
                    said += piece
            except ConnectionResetError:
                pass
        for status in re.findall(rb"HTTP/1\.1 (\d+)", said):
            assert int(status) in REFUSALS | {100, 200}, said[:300]

    run()
