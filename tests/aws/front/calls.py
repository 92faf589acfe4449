"""Which operation of which service an HTTP request is: botocore's way of sending, backwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import botocore.session

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_CBOR = re.compile(r"/service/[^/]+/operation/(\w+)")
IAM_PREFIX = {"monitoring": "cloudwatch"}
"""Services whose name in IAM's actions is not that in their signature."""
_REST = {"s3": ("s3",), "sagemaker": ("sagemaker-runtime", "sagemaker-metrics")}
"""Services (by signature) without a target header, and botocore's models of them."""


@dataclass(frozen=True)
class Call:
    """One call as it came in; ``service`` as IAM calls it, ``request`` its parameters."""

    service: str
    operation: str
    region: str
    key: str
    """The access key's id; empty for an unsigned call."""
    protocol: str
    """json, query, rest-json, rest-xml or cbor."""
    request: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


def read(method: str, target: str, headers: dict[str, str], body: bytes) -> Call:
    """The call behind a request; ``headers`` with names in lower case."""
    key, region, service = _scope(headers.get("authorization", ""), target)
    parts = urlsplit(target)
    name = IAM_PREFIX.get(service, service)
    if headers.get("x-amz-target"):
        operation = headers["x-amz-target"].rpartition(".")[2]
        return Call(name, operation, region, key, "json", json.loads(body or b"{}"), body)
    if found := _CBOR.fullmatch(parts.path):
        return Call(name, found[1], region, key, "cbor", {}, body)
    form = {} if service in _REST else dict(parse_qsl(body.decode("utf-8", "replace")))
    if "Action" in form:
        return Call(name, form["Action"], region, key, "query", form, body)
    model, operation, request = _rest(service, method, parts.path, parts.query, headers)
    protocol = "rest-xml" if model == "s3" else "rest-json"
    return Call(name, operation, region, key, protocol, request, body)


def _scope(authorization: str, target: str) -> tuple[str, str, str]:
    """Key, region and service of the signature; of a presigned URL too."""
    presigned = parse_qs(urlsplit(target).query).get("X-Amz-Credential", [""])[0]
    found = _SCOPE.search(authorization or f"Credential={presigned}")
    return (found[1], found[2], found[3]) if found else ("", "", "s3")


def _rest(
    service: str, method: str, path: str, query: str, headers: dict[str, str]
) -> tuple[str, str, dict[str, Any]]:
    """(model, operation, its parameters in path and query): the most particular that fits."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    best: tuple[int, str, str, dict[str, Any]] = (-1, service, "?", {})
    for model in _REST.get(service, (service,)):
        for name, verb, pattern, literal, needed in _operations(model):
            found = pattern.fullmatch(path)
            if verb != method or found is None:
                continue
            wanted = {**needed, **dict.fromkeys(literal)}
            if any(key not in given for key in wanted):
                continue
            if any(value is not None and given[key] != value for key, value in literal.items()):
                continue
            copies = name.endswith(("CopyObject", "UploadPartCopy"))
            if copies != ("x-amz-copy-source" in headers):
                continue
            weight = 10 * len(wanted) + len(pattern.groupindex)
            if weight > best[0]:
                values = {key: unquote(value) for key, value in found.groupdict().items() if value}
                best = (weight, model, name, values | given)
    return best[1:]


@cache
def _operations(
    model: str,
) -> list[tuple[str, str, re.Pattern[str], dict[str, str | None], dict[str, None]]]:
    """(name, verb, path, query keys of the URI, query keys that are required) of each operation."""
    service = botocore.session.get_session().get_service_model(model)
    found = []
    for name in service.operation_names:
        operation = service.operation_model(name)
        uri, _, query = operation.http["requestUri"].partition("?")
        # botocore took the bucket out of S3's paths when hosts began to carry it.
        if model == "s3" and "Bucket" in operation.input_shape.members and "{Bucket}" not in uri:
            uri = "/{Bucket}" + ("" if uri == "/" else uri)
        pattern = re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", re.escape(uri))
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        literal = {key: value or None for key, value in parse_qsl(query, keep_blank_values=True)}
        required = dict.fromkeys(_required(operation.input_shape))
        verb = operation.http["method"]
        found.append((name, verb, re.compile(pattern + "/?"), literal, required))
    return found


def _required(shape: Any) -> Iterator[str]:
    """The query keys without which it is another operation: UploadPart is no PutObject."""
    for key in shape.required_members if shape else ():
        where = shape.members[key].serialization
        if where.get("location") == "querystring":
            yield where["name"]
