"""The API's own service model, as botocore has it: would SageMaker take a request?"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

LETTERS = "A-Za-z\u00aa-\uffff"
"""In a class of characters: as good as Unicode's letters, for names."""


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
        good = pattern is None or re.fullmatch(_in_python(pattern), str(value))
        enum = shape.metadata.get("enum")
        return [] if good and (not enum or value in enum) else [f"{path}={value}"]
    return [fault for part in parts for fault in _patterns(*part)]


def _in_python(pattern: str) -> str:
    """The API's patterns are Java's, whose classes of characters Python's module does not know."""
    for name, characters in ((r"\p{L}", LETTERS), (r"\p{Z}", r"\s"), (r"\p{N}", r"\d")):
        pattern = pattern.replace(name, characters)
    return pattern
