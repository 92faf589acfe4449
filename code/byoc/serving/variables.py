"""The environment variables of `serve`: names, defaults, what is allowed, in one table.

docs/serving.md shows the same table (``table``); a test compares the two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from byoc.serving.faults import ServingFault
from byoc.serving.media_types import PRODUCED

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Variable:
    """``default`` as the table shows it; what it is in numbers is ``byoc.serving.settings``'s."""

    name: str
    default: str
    meaning: str

    @property
    def allowed(self) -> str:
        raise NotImplementedError

    def fault(self, text: str) -> ServingFault:
        return ServingFault(f"{self.name} is {text!r}: give {self.allowed}")


@dataclass(frozen=True)
class Number(Variable):
    """A whole number."""

    lowest: int
    highest: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    def read(self, environment: Mapping[str, str]) -> int | None:
        """None where it is not set; raises ``ServingFault`` for a wrong value."""
        text = environment.get(self.name, "").strip()
        if not text:
            return None
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdecimal() and len(text) < 12 else None
        if value is None or not self.lowest <= value <= self.highest:
            raise self.fault(text)
        return value


@dataclass(frozen=True)
class Choice(Variable):
    """One of several words, in small or capital letters."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return " or ".join((", ".join(self.words[:-1]), self.words[-1]))

    def read(self, environment: Mapping[str, str]) -> str:
        """The empty string where it is not set; raises ``ServingFault`` for a wrong value."""
        text = environment.get(self.name, "").strip()
        if text and text.lower() not in self.words:
            raise self.fault(text)
        return text.lower()


def _flag(name: str, default: str, meaning: str) -> Choice:
    return Choice(name, default, meaning, ("true", "false"))


@dataclass(frozen=True)
class Level(Variable):
    """A log level: a number, as SageMaker sets it, or a name of ``logging``."""

    @property
    def allowed(self) -> str:
        return f"a number or one of {', '.join(LEVELS)}"

    def read(self, environment: Mapping[str, str]) -> int | None:
        text = environment.get(self.name, "").strip().upper()
        if not text:
            return None
        if text.isascii() and text.isdecimal() and len(text) < 4:
            return int(text)
        if text not in LEVELS:
            raise self.fault(text)
        return logging.getLevelNamesMapping()[text]


@dataclass(frozen=True)
class TopK(Number):
    """A whole number, or ``all``."""

    @property
    def allowed(self) -> str:
        return f"{super().allowed}, or all"


PORT = Number("SAGEMAKER_BIND_TO_PORT", "8080", "the only port", 1, 65535)
WORKERS = Number(
    "SAGEMAKER_MODEL_SERVER_WORKERS",
    "1 on a CPU; up to 3 for each GPU, 1 with a large model or its own script",
    "processes that hold the model; in multi-model mode, of each model",
    1,
    256,
)
THREADS = Number(
    "OMP_NUM_THREADS", "the container's cores / workers", "compute threads of a worker", 1, 1024
)
TIMEOUT = Number(
    "SAGEMAKER_MODEL_SERVER_TIMEOUT",
    "59; in batch transform 599",
    "seconds for one invocation; a worker that takes longer is replaced",
    1,
    3600,
)
TIMEOUT_SECONDS = Number(
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "", "the same; wins over it", 1, 3600
)
STARTUP_TIMEOUT = Number(
    "SAGEMAKER_STARTUP_TIMEOUT", "600", "seconds until the model must have answered", 1, 3600
)
PAYLOAD = Number(
    "SAGEMAKER_MAX_PAYLOAD_IN_MB",
    "6",
    "the largest body, in MB; less than 6 does not lower it; 0: 100",
    0,
    100,
)
LOG_LEVEL = Level("SAGEMAKER_CONTAINER_LOG_LEVEL", "INFO", "of the log beside the requests")
ACCEPT = Choice(
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
    "the form of the request",
    "the form of replies to requests without an Accept",
    PRODUCED,
)
MULTI_MODEL = _flag("SAGEMAKER_MULTI_MODEL", "false", "multi-model mode; on CPUs only")
BATCH = _flag("SAGEMAKER_BATCH", "false", "batch transform: set by SageMaker")
BATCH_STRATEGY = Choice(
    "SAGEMAKER_BATCH_STRATEGY",
    "",
    "set by SageMaker; told in /execution-parameters",
    ("single_record", "multi_record"),
)
TRANSFORMS = Number(
    "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    "twice the workers",
    "set by SageMaker; told in /execution-parameters",
    1,
    1000,
)
BATCH_SIZE = Number(
    "BYOC_BATCH_SIZE", "32", "requests that may go through the model together; 1: never", 1, 1024
)
BATCH_DELAY = Number(
    "BYOC_BATCH_DELAY_MS",
    "half as long as the last one took, at most 8; with a GPU 0",
    "milliseconds that the next batch waits for those who just got replies to ask again; a lone "
    "request never waits",
    0,
    1000,
)
QUEUE = Number("BYOC_QUEUE_SIZE", "100", "requests that wait for a worker; more get 503", 1, 10_000)
PRECISION = Choice(
    "BYOC_PRECISION",
    "auto",
    "what the model computes in; auto: the fastest that agrees with fp32 (on a CPU int8 with VNNI, "
    "else bf16 with AMX, else fp32)",
    ("auto", "fp32", "bf16", "fp16", "int8"),
)
MAX_LENGTH = Number(
    "BYOC_MAX_LENGTH",
    "what the model takes, at most 512",
    "tokens of an input; the rest is cut off",
    4,
    100_000,
)
TOP_K = TopK("BYOC_TOP_K", "1", "labels of a reply where the request names no top_k", 1, 100_000)
MAX_INPUTS = Number(
    "BYOC_MAX_INPUTS", "10000", "inputs of one request; no limit in batch transform", 1, 1_000_000
)
PAIRS = Choice(
    "BYOC_TEXT_PAIRS",
    "auto",
    "true: inputs are sentence pairs; false: single texts; auto: as in training",
    ("auto", "true", "false"),
)
HEADER = Choice(
    "BYOC_CSV_HEADER",
    "absent",
    "present: CSV bodies begin with a header; never in batch transform",
    ("absent", "present"),
)
LOG_REQUESTS = _flag("BYOC_LOG_REQUESTS", "true", "a line of JSON for each request")
LOG_TEXTS = _flag("BYOC_LOG_TEXTS", "false", "the texts of requests in the log")

VARIABLES: tuple[Variable, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Variable)
)


def table() -> str:
    """The variables as a Markdown table."""
    rows = ["| variable | default | allowed | |", "| --- | --- | --- | --- |"]
    for it in VARIABLES:
        rows.append(f"| `{it.name}` | {it.default} | {it.allowed} | {it.meaning} |")
    return "\n".join(rows)
