"""The API's own service model, as botocore has it: would SageMaker take a request?"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator


@cache
def operation(name: str, service: str = "sagemaker") -> Any:
    return _model(service).operation_model(name)


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def faults(name: str, request: dict[str, Any], service: str = "sagemaker") -> list[str]:
    """What the API would say against a request of operation ``name``."""
    shape = operation(name, service).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        return [report.generate_report()]
    return _patterns(shape, request)


def _patterns(shape: Any, value: Any, path: str = "") -> list[str]:
    """Values that break their shape's pattern or enumeration, which botocore does not look at."""
    if shape.type_name == "structure":
        parts = [(shape.members[key], item, f"{path}.{key}") for key, item in value.items()]
    elif shape.type_name == "list":
        parts = [(shape.member, item, path) for item in value]
    elif shape.type_name == "map":
        parts = [(shape.value, item, f"{path}.{key}") for key, item in value.items()]
        parts += [(shape.key, key, path) for key in value]
    else:
        pattern = shape.metadata.get("pattern")
        good = pattern is None or re.fullmatch(_python(pattern), str(value))
        enum = shape.metadata.get("enum")
        return [] if good and (not enum or value in enum) else [f"{path}={value}"]
    return [fault for part in parts for fault in _patterns(*part)]


MARKS = r"!-/:-@\[-`{-~\u00a1-\u00bf\u0300-\u036f\u2000-\u2bff"
JAVAS = {
    **dict.fromkeys(("L", "N", "Alnum"), r"\w"),
    **dict.fromkeys(("Z", "Zs"), r"\s"),
    **dict.fromkeys(("M", "P", "S"), MARKS),
    "Print": "[ -~]",
}
"""Java's classes of characters, and what comes near them for Python's module."""


def _python(pattern: str) -> str:
    """The pattern without what is Java's, to which a character beyond 16 bits is two."""
    pattern = re.sub(r"\\p\{(\w+)\}", lambda found: JAVAS[found[1]], pattern)
    return pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff")
