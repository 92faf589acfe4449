"""Bodies to inputs, predictions to bodies; what the caller is told where that fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from byoc.serving import codecs, rules
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
        b'{"inputs": "a", "instances": ["a"]}',
        b'{"instances": "a"}',
        b'{"instances": []}',
        b'{"inputs": ' + b"9" * 5000 + b"}",
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


@pytest.mark.parametrize(
    "content_type", ["application/x-npy", "text/html", "image/png", "x" * 1000]
)
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


@pytest.mark.parametrize(
    "accept", ["application/x-npy", "application/json;q=0", "image/*, text/html"]
)
def test_other_accepts_are_406(accept: str) -> None:
    with pytest.raises(RequestFault) as caught:
        codecs.encode([], accept)
    assert caught.value.status == 406


def test_an_error_is_a_json_object() -> None:
    assert json.loads(codecs.error_body('a "quoted" cause')) == {"error": 'a "quoted" cause'}


def texts_of(body: str, content_type: str) -> list[str] | list[tuple[str, str | None]]:
    found = codecs.decode(body.encode(), content_type)
    return list(zip(found.texts, found.pairs, strict=True)) if found.pairs else found.texts


@pytest.fixture
def rule() -> Iterator[Callable[..., None]]:
    """Sets the rules of this process; the usual ones come back."""
    yield lambda **changes: rules.use(rules.Rules(**changes))
    rules.use(rules.Rules())


@pytest.mark.parametrize(
    ("content_type", "body", "texts"),
    [
        ("application/json", '{"instances": ["a", {"text": "b"}]}', ["a", "b"]),
        ("application/json", '{"inputs": [["a", "b"]]}', [("a", "b")]),
        ("application/jsonlines", '"a"\n{"text": "b"}\r\n{"inputs": "c"}\n', ["a", "b", "c"]),
        ("application/x-ndjson", '"a"', ["a"]),
        ("application/jsonlines", '{"text": "a", "text_pair": "b"}', [("a", "b")]),
        ("text/csv", 'a\n"b, ""c"""\n\n"d\ne"', ["a", 'b, "c"', "", "d\ne"]),
        ("text/csv; header=present", "id,text\n1,a\n2,b", ["a", "b"]),
        ("text/csv; header=present", "text_pair,text\nb,a", [("a", "b")]),
        ("text/csv; header=present", "anything\na", ["a"]),
        ("text/csv; header=absent", "text\na", ["text", "a"]),
        ("text/csv", "text\na", ["text", "a"]),
        ("text/plain", "a, b\tc\n\nd\n", ["a, b\tc", "", "d"]),
        ("text/plain", "a\u2028b\x0bc\x85d", ["a\u2028b\x0bc\x85d"]),
    ],
)
def test_forms(content_type: str, body: str, texts: list[object]) -> None:
    assert texts_of(body, content_type) == texts


def test_charsets() -> None:
    for name in ("iso-8859-1", "latin1"):
        found = codecs.decode("é".encode("latin-1"), f"text/plain; charset={name}")
        assert found.texts == ["é"]
    with pytest.raises(RequestFault) as caught:
        codecs.decode(b"a", "text/plain; charset=utf-7")
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("application/json", '{"inputs": ["a", 3]}', "inputs[1]"),
        ("application/json", '{"inputs": "\\ud800"}', "inputs has half of a surrogate pair"),
        ("application/json", '{"inputs": [{"text": "a", "text_pair": 1}]}', "inputs[0].text_pair"),
        ("application/json", '{"inputs": "a",}', "line 1, column "),
        ("application/jsonlines", '"a"\n\n"b"', "line 2 is empty"),
        ("application/jsonlines", '"a"\n{"text": 1}', "line 2.text"),
        ("application/jsonlines", '"a"\nb', "line 2 is not valid JSON"),
        ("text/csv", 'a\n"b', "line 2 is not valid CSV"),
        ("text/csv", 'a\nb,"c" d', "line 2 is not valid CSV"),
        ("text/csv", "a\nHello, world", "double quotes"),
        ("text/csv; header=present", "id,label\n1,2", "names no column text"),
        ("text/csv; header=present", "id,text\n1", "fewer than the header"),
        ("text/csv; header=present", "text", "empty"),
        ("text/csv", "", "empty"),
        ("text/plain", "", "empty"),
        ("application/jsonlines", "\n", "empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(content_type: str, body: str, said: str) -> None:
    with pytest.raises(RequestFault) as caught:
        codecs.decode(body.encode(), content_type)
    assert caught.value.status == 400
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"inputs": {"text": "a", "text_pair": "b"}}'),
        ("application/jsonlines", '["a", "b"]'),
        ("text/csv", "a,b"),
        ("text/plain", "a\tb"),
    ],
)
def test_a_model_of_pairs_takes_pairs_in_each_form(
    rule: Callable[..., None], content_type: str, body: str
) -> None:
    rule(pairs=True)
    assert texts_of(body, content_type) == [("a", "b")]


@pytest.mark.parametrize(
    ("pairs", "content_type", "body"),
    [
        (True, "application/json", '{"inputs": "a"}'),
        (True, "text/csv", "a"),
        (True, "text/plain", "a"),
        (False, "application/json", '{"inputs": [["a", "b"]]}'),
        (False, "text/csv", "a,b"),
    ],
)
def test_single_texts_and_pairs_are_not_mixed_up(
    rule: Callable[..., None], pairs: bool, content_type: str, body: str
) -> None:
    rule(pairs=pairs)
    with pytest.raises(RequestFault, match="this model takes"):
        codecs.decode(body.encode(), content_type)


def test_top_k_by_rule_and_by_request(rule: Callable[..., None]) -> None:
    rule(top_k=3)
    assert codecs.decode(b'{"inputs": "a"}', codecs.JSON).top_k == 3
    found = codecs.decode(b'{"inputs": "a", "parameters": {"top_k": null}}', codecs.JSON)
    assert found.top_k is None


LINE = {"label": "yes", "score": 0.5}


def batch_reply(body: str, content_type: str, accept: str = "") -> list[str]:
    """The reply's lines, from a model that says yes to everything."""
    found = codecs.decode(body.encode(), content_type)
    predictions = found.in_place([LINE for _ in found.texts])
    reply, _ = codecs.encode(predictions, codecs.reply_type(content_type, accept))
    return reply.decode().split("\n")


YES, ERROR = '{"label": "yes", "score": 0.5}', '{"error": '


@pytest.mark.parametrize(
    ("content_type", "body", "starts"),
    [
        ("application/jsonlines", '"a"\nb\n\n{"text": 1}\n"c"\n', [YES, *[ERROR] * 3, YES]),
        ("text/csv", 'a\n"b\nc"\na,b\n\nd', ["yes", ",,", "yes", ",,", "yes", "yes"]),
        ("text/csv; header=present", "text\na", ["yes", "yes"]),
        ("text/plain", "a\r\n\nb\n", [YES] * 3),
        ("text/plain", "", [YES]),
        ("application/jsonlines", "", [ERROR]),
        ("application/json", '{"inputs": "a"}', [f"[{YES}]"]),
        ("application/json", '{\n"inputs":\n["a", "b"]}', [f"[{YES}, {YES}]"]),
        ("application/json", '{"inputs": "a"}\n{\n{"inputs": []}', [f"[{YES}]", ERROR, ERROR]),
        ("application/json", "[1]", [ERROR]),
    ],
)
def test_batch_gives_one_line_for_each_line(
    rule: Callable[..., None], content_type: str, body: str, starts: list[str]
) -> None:
    rule(is_batch=True, has_header=True)
    found = batch_reply(body, content_type)
    assert len(found) == len(starts)
    assert [line[: len(start)] for line, start in zip(found, starts, strict=True)] == starts


def test_batch_replies_are_lines_whatever_is_accepted(rule: Callable[..., None]) -> None:
    rule(is_batch=True)
    for accept in ("application/json", "application/jsonlines", "text/csv; header=present"):
        assert len(batch_reply('"a"\nb\n"c"', "application/jsonlines", accept)) == 3


@pytest.mark.parametrize(
    ("content_type", "accept", "chosen"),
    [
        ("application/json", "", "application/json"),
        ("text/csv", "*/*", "text/csv"),
        ("application/x-ndjson", "", "application/jsonlines"),
        ("text/plain", "", "application/json"),
        ("application/json", "text/csv;q=0.5, application/jsonlines;q=0.9", codecs.JSON + "lines"),
        ("application/json", "text/*", "text/csv"),
        ("application/json", "*/*;q=0.1, text/csv", "text/csv"),
        ("application/json", "application/json;q=0, */*", "application/jsonlines"),
        ("application/json", "text/csv; header=present", "text/csv; header=present"),
        ("application/json", "text/csv, application/json", "text/csv"),
    ],
)
def test_the_reply_is_what_is_liked_best(content_type: str, accept: str, chosen: str) -> None:
    assert codecs.reply_type(content_type, accept) == chosen


def test_replies_as_lines_and_as_csv() -> None:
    rows = [LINE, [LINE, {"label": "a,b", "score": 0.25}]]
    assert codecs.encode(rows, "text/csv")[0] == b'yes,0.5\nyes,0.5,"a,b",0.25'
    body, kind = codecs.encode([LINE], "text/csv; header=present")
    assert (body, kind) == (b"label,score\nyes,0.5", "text/csv")
    assert codecs.encode(rows, "application/jsonlines")[0].count(b"\n") == 1


def test_long_and_odd_texts_are_taken() -> None:
    text = "é😀\x00\x07\u202e" * 20_000
    for content_type, body in (
        ("application/json", json.dumps({"inputs": [text]})),
        ("application/jsonlines", json.dumps(text)),
        ("text/csv", text),
        ("text/plain", text),
    ):
        assert codecs.decode(body.encode(), content_type).texts == [text]
