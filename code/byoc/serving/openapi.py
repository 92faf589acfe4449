"""The OpenAPI document of a running `serve`: what is valid here gets 200, whatever it says.

Served at /openapi.json; docs/openapi.json is that of a model of which it is not known whether it
takes sentence pairs: ``python -m byoc.serving.openapi > docs/openapi.json``.
"""

from __future__ import annotations

import json
from typing import Any

from byoc import __version__
from byoc.serving.media_types import CSV, JSON, JSON_LINES, PLAIN
from byoc.serving.rules import Rules
from byoc.serving.settings import Settings, read_settings

Schema = dict[str, Any]

_STRING = r'"([^"\\\u0000-\u001f]|\\["\\/bfnrt])*"'
"""A JSON string without \\u, which could be half of a character."""
_FIELD = r'([^",\r\n\ufeff][^",\r\n]*|"([^"]|"")*")'

_STATUSES = {
    "400": "The caller's fault: which field, and why.",
    "406": "No form of a reply is accepted that is produced.",
    "413": "The body is too large.",
    "415": "The body's form, charset or encoding is not taken.",
    "500": "The model could not answer: the request_id is in the log.",
    "502": "The worker that had the request ended.",
    "503": "No worker can take the request now: Retry-After.",
    "504": "No reply within the timeout.",
}


def text(settings: Settings) -> str:
    """The document, as JSON."""
    return json.dumps(document(settings), indent=2, ensure_ascii=True) + "\n"


def document(settings: Settings) -> Schema:
    """What these settings serve."""
    rules = settings.rules
    paths: Schema = {
        "/ping": {"get": _ping()},
        "/execution-parameters": {"get": _get("What batch transform asks for", _execution())},
        "/metrics": {"get": _metrics()},
    }
    if settings.is_multi_model:
        paths |= _model_paths(rules)
    else:
        paths["/invocations"] = {"post": _invocation(rules)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "byoc-serving",
            "version": __version__,
            "description": "Text classification behind SageMaker's container contract.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(rules)},
    }


def _schemas(rules: Rules) -> Schema:
    text: Schema = {"type": "string"}
    pair = _object({"text": text, "text_pair": text}, ["text", "text_pair"])
    maybe: Schema = _object({"text": text, "text_pair": {"type": ["string", "null"]}}, ["text"])
    two: Schema = {"type": "array", "items": text, "minItems": 2, "maxItems": 2}
    if rules.pairs is True:
        alone, listed = [pair], [pair, two]
    elif rules.pairs is False:
        single = _object({"text": text, "text_pair": {"type": "null"}}, ["text"])
        alone, listed = [text, single], [text, single]
    else:
        alone, listed = [text, maybe], [text, maybe, two]
    inputs = {
        "type": "array",
        "items": {"anyOf": listed},
        "minItems": 1,
        "maxItems": rules.max_inputs,
        "description": "Several inputs; of two strings in brackets the second is the pair.",
    }
    parameters = _object(
        {
            "top_k": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "How many labels each input gets, the best first; null: all.",
            }
        },
        [],
    )
    optional: Schema = {"anyOf": [parameters, {"type": "null"}]}
    prediction = _object({"label": text, "score": {"type": "number"}}, ["label", "score"])
    prediction["properties"]["score"] |= {"minimum": 0, "maximum": 1}
    one: Schema = {"$ref": "#/components/schemas/Prediction"}
    return {
        "Request": {
            "oneOf": [
                _object(
                    {"inputs": {"anyOf": [*alone, inputs]}, "parameters": optional}, ["inputs"]
                ),
                _object({"instances": inputs, "parameters": optional}, ["instances"]),
            ]
        },
        "Prediction": prediction,
        "Predictions": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]},
            "description": "One entry for each input, in order; a list where top_k is not 1.",
        },
        "Error": _object({"error": text, "request_id": text}, ["error"]),
    }


def _bodies(rules: Rules) -> Schema:
    """The forms of an invocation; a pattern's match is taken always, other ways to write it too."""
    value = rf'\{{"text": ?{_STRING}(, ?"text_pair": ?{_STRING})\}}'
    field, plain = _FIELD, r"[^\r\n\ufeff]"
    rest = r'([^",\r\n]*|"([^"]|"")*")'
    if rules.pairs:
        line, csv = value, rf"{_FIELD},{rest}"
        rows = rf"^{csv}(\r?\n{csv})*$"
        lines = r"^[^\r\n\t\ufeff]+\t[^\r\n\t]*(\n[^\n\t]*\t[^\n\t]*)*$"
    else:
        optional = value.replace(")\\}", ")?\\}") if rules.pairs is None else value
        single = rf'\{{"text": ?{_STRING}\}}' if rules.pairs is False else optional
        line = rf"({_STRING}|{single})"
        rows = rf"^{field}(\r?\n{rest})*$"
        lines = rf"^{plain}[^\n]*(\n[^\n]*)*$"
    return {
        JSON: {"schema": {"$ref": "#/components/schemas/Request"}},
        JSON_LINES: {
            "schema": {
                "type": "string",
                "pattern": rf"^{line}(\n{line})*\n?$",
                "description": 'A string, or an object with "text" and "text_pair", on each line.',
            }
        },
        CSV: {
            "schema": {
                "type": "string",
                "pattern": rows,
                "description": "text, or text,text_pair, on each line (RFC 4180); "
                "`text/csv; header=present` where the first line has the columns' names.",
            }
        },
        PLAIN: {
            "schema": {
                "type": "string",
                "pattern": lines,
                "description": "A text on each line; a pair with a tab between.",
            }
        },
    }


def _invocation(rules: Rules) -> Schema:
    predictions = {"$ref": "#/components/schemas/Predictions"}
    content = {
        JSON: {"schema": predictions},
        JSON_LINES: {"schema": {"type": "string"}},
        CSV: {"schema": {"type": "string"}},
    }
    return {
        "operationId": "invoke",
        "summary": "Classifies texts or sentence pairs",
        "requestBody": {"required": True, "content": _bodies(rules)},
        "responses": {
            "200": {"description": "One prediction for each input, in order.", "content": content},
            **{status: _error(meaning) for status, meaning in _STATUSES.items()},
        },
    }


def _ping() -> Schema:
    ready = {"description": "A worker with a loaded model is alive.", "content": _json({})}
    return {
        "operationId": "ping",
        "summary": "Can the model answer?",
        "responses": {"200": ready, "503": _error("Not yet, or no longer.")},
    }


def _execution() -> Schema:
    return _object(
        {
            "MaxConcurrentTransforms": {"type": "integer", "minimum": 1},
            "BatchStrategy": {"enum": ["MultiRecord", "SingleRecord"]},
            "MaxPayloadInMB": {"type": "integer", "minimum": 1},
        },
        ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"],
    )


def _metrics() -> Schema:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Counters, in Prometheus's text format",
        "responses": {"200": {"description": "The counters.", "content": content}},
    }


def _model_paths(rules: Rules) -> Schema:
    """The multi-model API."""
    model = _object(
        {"modelName": {"type": "string"}, "modelUrl": {"type": "string"}},
        ["modelName", "modelUrl"],
    )
    models = _object(
        {"models": {"type": "array", "items": model}, "nextPageToken": {"type": "string"}},
        ["models"],
    )
    load = _object(
        {"model_name": {"type": "string", "minLength": 1}, "url": {"type": "string"}},
        ["model_name", "url"],
    )
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    token = {"name": "next_page_token", "in": "query", "schema": {"type": "string"}}
    loading = _get("Loads a model", {"type": "object"}) | {
        "requestBody": {"required": True, "content": _json(load)}
    }
    for status, meaning in {
        "400": "The model is missing or broken.",
        "409": "It is loaded already.",
        "507": "There is not enough memory for it.",
    }.items():
        loading["responses"][status] = _error(meaning)
    absent = {"404": _error("No model of this name is loaded.")}
    describe, unload = _get("A loaded model", {}), _get("Unloads a model", {"type": "object"})
    for it in (describe, unload):
        it["responses"] |= absent
    invoke = _invocation(rules)
    invoke["responses"] |= absent
    return {
        "/models": {
            "get": _get("The loaded models", models) | {"parameters": [token]},
            "post": loading,
        },
        "/models/{name}": {"parameters": [name], "get": describe, "delete": unload},
        "/models/{name}/invoke": {"parameters": [name], "post": invoke},
    }


def _get(summary: str, schema: Schema) -> Schema:
    content = {"description": summary, "content": _json(schema)}
    return {"summary": summary, "responses": {"200": content}}


def _error(meaning: str) -> Schema:
    return {
        "description": meaning,
        "content": _json({"$ref": "#/components/schemas/Error"}),
    }


def _json(schema: Schema) -> Schema:
    return {JSON: {"schema": schema}}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


if __name__ == "__main__":
    print(text(read_settings({})), end="")
