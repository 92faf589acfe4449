"""The line of each request, what is counted of it, and the limits that a model sets."""

from __future__ import annotations

import json
import select
from pathlib import Path
from types import SimpleNamespace

import pytest

from byoc.serving import inference, request_log
from byoc.serving.metrics import Metrics
from byoc.serving.state import State

LINE = {
    "time": "2026-11-24T20:03:05+00:00",
    "request_id": "552d",
    "inference_id": "",
    "method": "POST",
    "path": "/invocations",
    "status": 200,
    "bytes_in": 179,
    "bytes_out": 249,
    "total": "0.008",
    "queue": "2.28",
    "compute": "5",
    "batch": "4",
    "inputs": "2",
}


def entry(**changes: object) -> dict[str, object]:
    found = request_log.parse(json.dumps(LINE | changes).encode())
    assert found is not None
    return found


def test_a_line_of_the_front_becomes_an_entry() -> None:
    found = entry()
    assert found["total_ms"] == 8
    assert (found["queue_ms"], found["compute_ms"]) == (2.28, 5)
    assert (found["batch"], found["inputs"]) == (4, 2)
    assert "inference_id" not in found


def test_what_no_worker_told_is_left_out() -> None:
    found = entry(queue="", compute="-", batch="", inputs="")
    assert not {"queue_ms", "compute_ms", "batch", "inputs"} & set(found)


def test_all_that_the_front_wrote_is_printed_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, metrics = State(tmp_path), Metrics()
    log = request_log.RequestLog(state, metrics, prints=True)
    with state.request_log.open("w") as front:
        for number in range(300):
            print(json.dumps(LINE | {"request_id": str(number)}), file=front, flush=True)
    log.flush()
    printed = [json.loads(line)["request_id"] for line in capsys.readouterr().out.splitlines()]
    assert printed == [str(number) for number in range(300)]
    assert "byoc_request_seconds_count 300" in metrics.text({}, 0)


def test_lines_are_written_together_as_far_as_a_pipe_takes_them_in_one_piece() -> None:
    lines = ["x" * length for length in [300] * 40 + [5000] + [300] * 3]
    pieces = list(request_log._pieces(lines))
    assert "\n".join(pieces) == "\n".join(lines)
    assert len(pieces) == 6
    assert all(len(it) < select.PIPE_BUF or "\n" not in it for it in pieces)


def test_odd_lines_do_no_harm() -> None:
    assert request_log.parse(b"") is None
    assert request_log.parse(b"2026/11/24 [error]") is None
    bad = json.dumps(LINE).replace("/invocations", "/\\u0007caf").encode() + b"\xff"
    assert request_log.parse(bad) is None
    assert len(str(entry(path="/" + "x" * 5000)["path"])) == 200


def test_callers_make_no_labels_of_their_own() -> None:
    metrics = Metrics()
    paths = ("/a", '/b"', "/models/x", "/models/y/invoke", "/invocations")
    for path in paths:
        found = entry(path=path)
        metrics.add(found | {"path": request_log._counted(path)})
    text = metrics.text({"byoc_ready": 1}, 2)
    assert 'byoc_requests_total{path="other",status="200"} 2' in text
    assert 'path="/models/NAME"' in text
    assert 'path="/models/NAME/invoke"' in text
    assert "byoc_worker_restarts_total 2" in text
    assert "byoc_inputs_total 10" in text


def test_histograms_are_cumulative() -> None:
    metrics = Metrics()
    for total in ("0.001", "0.0011", "0.2", "300"):
        metrics.add(entry(total=total))
    lines = metrics.text({}, 0).splitlines()
    counts = [int(it.split()[1]) for it in lines if it.startswith("byoc_request_seconds_bucket")]
    assert counts == sorted(counts)
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 2, 3, 4)
    assert "byoc_request_seconds_count 4" in lines
    assert all(line.startswith("#") or len(line.split()) == 2 for line in lines)


def test_max_length_above_the_models_is_refused() -> None:
    tokenizer = SimpleNamespace(model_max_length=10**30)
    config = SimpleNamespace(max_position_embeddings=64)
    assert inference._max_length(tokenizer, config, None) == 64
    assert inference._max_length(tokenizer, config, 32) == 32
    with pytest.raises(ValueError, match="BYOC_MAX_LENGTH is 65: this model takes at most 64"):
        inference._max_length(tokenizer, config, 65)
