"""Bodies to inputs, predictions to bodies; what the caller is told where that fails."""

from __future__ import annotations

import json

import pytest

from byoc.serving import codecs
from byoc.serving.faults import RequestFault


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ('{"inputs": "one"}', ["one"]),
        ('{"inputs": ["one", "two"]}', ["one", "two"]),
        ('{"inputs": ""}', [""]),
        ('\ufeff{"inputs": "é 😀"}', ["é 😀"]),
    ],
)
def test_decode_takes_one_text_or_several(body: str, texts: list[str]) -> None:
    assert codecs.decode(body.encode(), "application/json; charset=utf-8").texts == texts


@pytest.mark.parametrize(
    ("inputs", "texts", "pairs"),
    [
        ({"text": "a", "text_pair": "b"}, ["a"], ["b"]),
        ([{"text": "a", "text_pair": "b"}, "c"], ["a", "c"], ["b", None]),
        ([{"text": "a"}, {"text": "b", "text_pair": None}, "c"], ["a", "b", "c"], []),
        (["a", {"text": "b", "text_pair": ""}], ["a", "b"], [None, ""]),
    ],
)
def test_decode_takes_sentence_pairs(inputs: object, texts: list[str], pairs: list[object]) -> None:
    found = codecs.decode(json.dumps({"inputs": inputs}), codecs.JSON)
    assert (found.texts, found.pairs) == (texts, pairs)


def test_decode_takes_top_k() -> None:
    inputs = codecs.decode(b'{"inputs": "a", "parameters": {"top_k": 2}}', "Application/JSON")
    assert inputs.parameters == {"top_k": 2}


def test_no_content_type_is_json() -> None:
    assert codecs.decode(b'{"inputs": "a"}', "").texts == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[1]",
        b'"text"',
        b"{}",
        b'{"inputs": []}',
        b'{"inputs": null}',
        b'{"inputs": 3}',
        b'{"inputs": ["a", 3]}',
        b'{"inputs": [["a"]]}',
        b'{"inputs": "\\ud800"}',
        b'{"inputs": {}}',
        b'{"inputs": {"text_pair": "b"}}',
        b'{"inputs": {"text": 3, "text_pair": "b"}}',
        b'{"inputs": {"text": "a", "text_pair": 3}}',
        b'{"inputs": [{"text": "a", "text_pair": ["b"]}]}',
        b'{"inputs": [{"text": "a", "text_pair": "\\udfff"}]}',
        b'{"inputs": [{"text": "a", "text_pair": "b", "label": 1}]}',
        b'{"inputs": "a", "other": 1}',
        b'{"inputs": "a", "parameters": []}',
        b'{"inputs": "a", "parameters": {"top_k": 0}}',
        b'{"inputs": "a", "parameters": {"top_k": true}}',
        b'{"inputs": "a", "parameters": {"top_k": "2"}}',
        b'{"inputs": "a", "parameters": {"temperature": 1}}',
    ],
)
def test_bad_input_is_400_with_a_short_message(body: bytes) -> None:
    with pytest.raises(RequestFault) as caught:
        codecs.decode(body, codecs.JSON)
    assert caught.value.status == 400
    assert 0 < len(caught.value.message) < 200
    assert "byoc" not in caught.value.message


def test_too_many_inputs_are_refused() -> None:
    body = json.dumps({"inputs": ["a"] * (codecs.MAX_INPUTS + 1)}).encode()
    with pytest.raises(RequestFault, match="at most"):
        codecs.decode(body, codecs.JSON)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-npy", "x" * 1000])
def test_other_content_types_are_415(content_type: str) -> None:
    with pytest.raises(RequestFault) as caught:
        codecs.decode(b"a", content_type)
    assert caught.value.status == 415
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/json", "application/*;q=0.5", "text/html, application/json;q=0.9"],
)
def test_json_is_accepted(accept: str) -> None:
    assert codecs.encode([{"label": "é"}], accept) == ('[{"label": "é"}]'.encode(), codecs.JSON)


@pytest.mark.parametrize("accept", ["text/csv", "application/json;q=0", "image/*, text/html"])
def test_other_accepts_are_406(accept: str) -> None:
    with pytest.raises(RequestFault) as caught:
        codecs.encode([], accept)
    assert caught.value.status == 406


def test_an_error_is_a_json_object() -> None:
    assert json.loads(codecs.error_body('a "quoted" cause')) == {"error": 'a "quoted" cause'}
