"""Request bodies to inputs, predictions to reply bodies.

The form is the one that Hugging Face users know:
``{"inputs": "text" | ["text", …], "parameters": {"top_k": n}}``; a sentence pair stands as
``{"text": "…", "text_pair": "…"}`` in the place of a text. ``{"instances": […]}``, JSON lines, CSV
and plain text are taken as well (``byoc.serving.records``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from byoc.serving import media_types, records, replies, rules
from byoc.serving.faults import RequestFault
from byoc.serving.media_types import CSV, JSON, JSON_LINES, PLAIN, shown
from byoc.serving.records import Line, Record
from byoc.serving.rules import MAX_INPUTS, Rules

__all__ = ["JSON", "MAX_INPUTS", "Inputs", "decode", "encode", "error_body", "reply_type"]

T = TypeVar("T")

_LINE_READERS: dict[str, Callable[[Line, Rules], Record]] = {
    JSON_LINES: records.from_json_line,
    CSV: records.from_csv_line,
    PLAIN: records.from_plain_line,
}


@dataclass(frozen=True)
class Inputs:
    """``pairs``: the second text of each input, ``None`` where it has none; empty where none has
    one. ``faults`` and ``groups`` come with batch transform alone, see ``in_place``."""

    texts: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)
    pairs: list[str | None] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    """What is wrong with a record, by its place among all; ``texts`` are of the others."""
    groups: list[int] = field(default_factory=list)
    """How many inputs each good record holds, where a record may hold several."""

    @property
    def top_k(self) -> int | None:
        """How many labels each input's reply has; None: all."""
        chosen: int | None = self.parameters.get("top_k", rules.current().top_k)
        return chosen

    def in_place(self, predictions: Sequence[Any]) -> list[Any]:
        """One entry for each record: its prediction, a group's as a list, or its error."""
        good = iter(_grouped(predictions, self.groups) if self.groups else predictions)
        count = len(self.groups or self.texts) + len(self.faults)
        if not self.faults:
            return list(good)
        return [
            {"error": self.faults[place]} if place in self.faults else next(good)
            for place in range(count)
        ]


def decode(body: bytes | str, content_type: str) -> Inputs:
    """The inputs of a request's body.

    Raises ``RequestFault``: 415 for a content type that is not taken, 400 for bad input.
    """
    kind, rule = media_types.taken(content_type), rules.current()
    text = _decoded(body, kind.encoding)
    if kind.name == JSON:
        return _from_documents(text, rule) if rule.is_batch else _from_document(text, rule)
    if rule.is_batch:
        read = _LINE_READERS[kind.name]
        return _from_lines(records.lines(text, numbered=False), lambda line: read(line, rule))
    if not text.strip("\r\n"):
        raise RequestFault(400, "the body is empty")
    if kind.name == CSV:
        has_header = kind.has_header or rule.has_header
        return _limited(records.from_csv(text, rule, has_header=has_header), rule)
    read = _LINE_READERS[kind.name]
    return _limited((read(line, rule) for line in records.lines(text)), rule)


def encode(predictions: Any, accept: str) -> tuple[bytes, str]:
    """The reply's body and its content type.

    Raises ``RequestFault`` 406 where the caller accepts nothing that is produced.
    """
    chosen = media_types.chosen(accept, JSON)
    return replies.body(predictions, chosen), chosen.name


def reply_type(content_type: str, accept: str) -> str:
    """The media type of the reply to a request with these headers, for ``encode``.

    Without an Accept: lines for lines, CSV for CSV, JSON for the rest. In batch transform a reply
    holds as many lines as its request, so that JSON is one value a line. Raises ``RequestFault``
    406 where nothing that is produced is accepted.
    """
    rule, kind = rules.current(), media_types.parse(content_type).name
    default = rule.accept or (kind if kind in (JSON_LINES, CSV) else JSON)
    chosen = media_types.chosen(accept, default)
    if rule.is_batch and chosen.name == JSON:
        return JSON_LINES
    is_headed = chosen.has_header and not rule.is_batch
    return f"{chosen.name}; header=present" if is_headed else chosen.name


def error_body(message: str) -> bytes:
    """A failed request's reply."""
    return json.dumps({"error": message}).encode()


def _decoded(body: bytes | str, encoding: str) -> str:
    try:
        return body if isinstance(body, str) else body.decode(encoding)
    except UnicodeDecodeError:
        name = "UTF-8" if encoding.startswith("utf") else encoding
        raise RequestFault(400, f"the body is not {name}") from None


def _from_document(text: str, rule: Rules) -> Inputs:
    """The inputs of one JSON document."""
    content = records.parse_json(text, "the body")
    if not isinstance(content, dict) or not {"inputs", "instances"} & set(content):
        raise RequestFault(400, 'the body must be an object with "inputs" or "instances"')
    unknown = sorted(set(content) - {"inputs", "instances", "parameters"})
    if unknown:
        raise RequestFault(400, f"unknown key {shown(unknown[0])}: only inputs and parameters")
    if {"inputs", "instances"} <= set(content):
        raise RequestFault(400, "the body has both inputs and instances: give one of them")
    name = "inputs" if "inputs" in content else "instances"
    found = _limited(_entries(content[name], name, rule), rule, name)
    return Inputs(found.texts, _parameters(content.get("parameters")), found.pairs)


def _entries(value: Any, name: str, rule: Rules) -> Iterable[Record]:
    if not isinstance(value, list):
        if name == "instances":
            raise RequestFault(400, "instances must be a list")
        return [records.from_json(value, name, rule)]
    if not value:
        raise RequestFault(400, f"{name} is empty")
    if len(value) > rule.max_inputs:
        raise _too_many(name, len(value), rule)
    return (records.from_json(entry, f"{name}[{place}]", rule) for place, entry in enumerate(value))


def _from_documents(text: str, rule: Rules) -> Inputs:
    """Batch transform's JSON: one document, or one a line; a reply's line for each of them."""
    try:
        json.loads(text)
        documents = [Line("this line", text)]
    except (ValueError, RecursionError):
        documents = records.lines(text, numbered=False)
    first: list[dict[str, Any]] = []

    def read(line: Line) -> Inputs:
        found = _from_document(line.text, rule)
        if first and first[0] != found.parameters:
            raise RequestFault(400, "parameters must be the same in all lines")
        first[:] = [found.parameters]
        return found

    found, faults = _read(documents, read)
    texts = [text for inputs in found for text in inputs.texts]
    pairs = [pair for inputs in found for pair in inputs.pairs or [None] * len(inputs.texts)]
    groups = [len(inputs.texts) for inputs in found]
    return Inputs(texts, first[0] if first else {}, _or_none(pairs), faults, groups)


def _from_lines(lines: list[Line], read: Callable[[Line], Record]) -> Inputs:
    """Batch transform: one record a line, a bad one among the faults."""
    found, faults = _read(lines, read)
    return Inputs(
        [it.text for it in found], pairs=_or_none([it.pair for it in found]), faults=faults
    )


def _read(lines: list[Line], read: Callable[[Line], T]) -> tuple[list[T], dict[int, str]]:
    found: list[T] = []
    faults: dict[int, str] = {}
    for place, line in enumerate(lines):
        try:
            found.append(read(line))
        except RequestFault as fault:
            faults[place] = fault.message
    return found, faults


def _limited(found: Iterable[Record], rule: Rules, name: str = "the body") -> Inputs:
    kept = []
    for record in found:
        kept.append(record)
        if len(kept) > rule.max_inputs:
            raise _too_many(name, None, rule)
    if not kept:
        raise RequestFault(400, f"{name} is empty")
    return Inputs([it.text for it in kept], pairs=_or_none([it.pair for it in kept]))


def _too_many(name: str, count: int | None, rule: Rules) -> RequestFault:
    has = f"{count} inputs" if count else "too many inputs"
    return RequestFault(400, f"{name} has {has}: at most {rule.max_inputs} in one request")


def _or_none(pairs: list[str | None]) -> list[str | None]:
    """No pairs at all where no input has one."""
    return pairs if any(pair is not None for pair in pairs) else []


def _parameters(parameters: Any) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestFault(400, "parameters must be an object")
    unknown = sorted(set(parameters) - {"top_k"})
    if unknown:
        raise RequestFault(400, f"unknown parameter {shown(unknown[0])}: only top_k")
    top_k = parameters.get("top_k")
    if isinstance(top_k, float) and top_k.is_integer():  # in JSON 1.0 is a whole number
        top_k = int(top_k)
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestFault(400, "parameters.top_k must be a whole number of at least 1, or null")
    return {"top_k": top_k} if "top_k" in parameters else {}


def _grouped(predictions: Sequence[Any], sizes: list[int]) -> list[list[Any]]:
    start, found = 0, []
    for size in sizes:
        found.append(list(predictions[start : start + size]))
        start += size
    return found
