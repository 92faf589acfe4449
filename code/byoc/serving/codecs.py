"""Request bodies to inputs, predictions to reply bodies.

The form is the one that Hugging Face users know:
``{"inputs": "text" | ["text", …], "parameters": {"top_k": n}}``; a sentence pair stands as
``{"text": "…", "text_pair": "…"}`` in the place of a text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from byoc.serving.faults import RequestFault

JSON = "application/json"
MAX_INPUTS = 10_000
_ANY = {"*/*", "application/*"}


@dataclass(frozen=True)
class Inputs:
    """``pairs``: the second text of each input, ``None`` where it has none; empty where none has
    one."""

    texts: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)
    pairs: list[str | None] = field(default_factory=list)


def decode(body: bytes | str, content_type: str) -> Inputs:
    """The inputs of a request's body.

    Raises ``RequestFault``: 415 for a content type that is not JSON, 400 for bad input.
    """
    if media_type(content_type) != JSON:
        raise RequestFault(
            415, f"Content-Type {_shown(content_type)} is not supported: send {JSON}"
        )
    content = _parse(body)
    if not isinstance(content, dict) or "inputs" not in content:
        raise RequestFault(400, 'the body must be an object with "inputs"')
    unknown = sorted(set(content) - {"inputs", "parameters"})
    if unknown:
        raise RequestFault(400, f"unknown key {_shown(unknown[0])}: only inputs and parameters")
    texts, pairs = _texts(content["inputs"])
    return Inputs(texts, _parameters(content.get("parameters")), pairs)


def encode(predictions: Any, accept: str) -> tuple[bytes, str]:
    """The reply's body and its content type.

    Raises ``RequestFault`` 406 where the caller accepts no JSON.
    """
    check_accept(accept)
    return json.dumps(predictions, ensure_ascii=False).encode(), JSON


def check_accept(accept: str) -> None:
    """Raises ``RequestFault`` 406 where an Accept header has no place for JSON."""
    if not accept.strip():
        return
    for choice in accept.split(","):
        kind, *options = (part.strip().lower() for part in choice.split(";"))
        refused = any(option.replace(" ", "") in {"q=0", "q=0.0"} for option in options)
        if (kind == JSON or kind in _ANY) and not refused:
            return
    raise RequestFault(406, f"Accept {_shown(accept)} is not supported: replies are {JSON}")


def error_body(message: str) -> bytes:
    """A failed request's reply."""
    return json.dumps({"error": message}).encode()


def media_type(header: str) -> str:
    """A Content-Type header without its options; JSON where there is none."""
    return header.split(";")[0].strip().lower() or JSON


def _parse(body: bytes | str) -> Any:
    try:
        text = body.decode("utf-8-sig") if isinstance(body, bytes | bytearray) else body
        return json.loads(text)
    except UnicodeDecodeError:
        raise RequestFault(400, "the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise RequestFault(400, "the body is not valid JSON") from None


def _texts(inputs: Any) -> tuple[list[str], list[str | None]]:
    """Texts and their pairs; no pairs at all where no input has one."""
    entries = inputs if isinstance(inputs, list) else [inputs]
    if not entries:
        raise RequestFault(400, "inputs is empty")
    if len(entries) > MAX_INPUTS:
        raise RequestFault(400, f"inputs has {len(entries)} entries: at most {MAX_INPUTS}")
    texts: list[str] = []
    pairs: list[str | None] = []
    for position, entry in enumerate(entries):
        where = f"inputs[{position}]" if isinstance(inputs, list) else "inputs"
        text, pair = _pair(entry, where) if isinstance(entry, dict) else (entry, None)
        texts.append(_text(text, where))
        pairs.append(pair if pair is None else _text(pair, where))
    return texts, pairs if any(pair is not None for pair in pairs) else []


def _pair(entry: dict[str, Any], where: str) -> tuple[Any, Any]:
    unknown = sorted(set(entry) - {"text", "text_pair"})
    if unknown:
        raise RequestFault(
            400, f"{where} has the unknown key {_shown(unknown[0])}: only text and text_pair"
        )
    if "text" not in entry:
        raise RequestFault(400, f'{where} has no "text"')
    return entry["text"], entry.get("text_pair")


def _text(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise RequestFault(400, f'{where} must be a string, or {{"text": "…", "text_pair": "…"}}')
    if not _is_unicode(text):
        raise RequestFault(400, f"{where} has half of a surrogate pair")
    return text


def _is_unicode(text: str) -> bool:
    r"""JSON may carry lone surrogates ("\ud800"), which are no text."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parameters(parameters: Any) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestFault(400, "parameters must be an object")
    unknown = sorted(set(parameters) - {"top_k"})
    if unknown:
        raise RequestFault(400, f"unknown parameter {_shown(unknown[0])}: only top_k")
    top_k = parameters.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestFault(400, "top_k must be a whole number of at least 1")
    return parameters


def _shown(text: str) -> str:
    """What the caller sent, short enough to be shown back."""
    return json.dumps(text[:80])
