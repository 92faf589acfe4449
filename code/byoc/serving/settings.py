"""The environment as typed settings of `serve`; a wrong value ends it before anything starts.

The names are SageMaker's, sagemaker-inference's and our own (``byoc.serving.variables``). What is
not set gets the documented default.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from byoc.cores import available_cores
from byoc.serving import variables
from byoc.serving.rules import MAX_INPUTS, Rules

DEFAULT_PORT = 8080
DEFAULT_BODY_LIMIT = 6 * 1024 * 1024
"""Bytes: 6,291,456, the limit of a real-time endpoint."""
MEGABYTE = 1024 * 1024
REPLY_SECONDS, BATCH_SECONDS = 59, 599
"""SageMaker waits a second longer for a reply, in batch transform by default."""
LARGEST_PAYLOAD = 100
"""MB: what one request, and all that run at a time, may have in batch transform."""


@dataclass(frozen=True)
class ExecutionParameters:
    """What batch transform asks for at /execution-parameters."""

    transforms: int
    strategy: str
    payload: int
    """MB."""

    def as_json(self) -> dict[str, int | str]:
        return {
            "MaxConcurrentTransforms": self.transforms,
            "BatchStrategy": self.strategy,
            "MaxPayloadInMB": self.payload,
        }


@dataclass(frozen=True)
class Settings:
    port: int
    workers: int
    threads: int
    """Compute threads of each worker."""
    timeout: int
    """Seconds that one invocation may take."""
    startup_timeout: int
    """Seconds until the model must have answered for the first time."""
    body_limit: int
    """Bytes of a request's body."""
    log_level: int
    """As in ``logging``."""
    queue: int = 100
    """Requests that wait for a worker; more get 503."""
    batch_size: int | None = None
    """Requests that may go through the model together; None: not set."""
    batch_delay_ms: int | None = None
    precision: str = "auto"
    max_length: int | None = None
    """Tokens of an input; None: what the model takes."""
    is_multi_model: bool = False
    logs_requests: bool = True
    logs_texts: bool = False
    rules: Rules = field(default_factory=Rules)
    """What requests may hold, as far as the environment says it: ``pairs`` may be the model's."""
    execution: ExecutionParameters | None = None


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings, from the environment.

    Raises ``ServingFault`` naming the variable that has a wrong value.
    """
    workers = variables.WORKERS.read(environment) or default_workers()
    rules = _rules(environment)
    megabytes = variables.PAYLOAD.read(environment)
    if megabytes == 0:
        megabytes = LARGEST_PAYLOAD
    seconds = variables.TIMEOUT_SECONDS.read(environment) or variables.TIMEOUT.read(environment)
    level = variables.LOG_LEVEL.read(environment)
    return Settings(
        port=variables.PORT.read(environment) or DEFAULT_PORT,
        workers=workers,
        threads=variables.THREADS.read(environment) or max(1, available_cores() // workers),
        timeout=seconds or (BATCH_SECONDS if rules.is_batch else REPLY_SECONDS),
        startup_timeout=variables.STARTUP_TIMEOUT.read(environment) or 600,
        # "Raises it": a smaller value does not take from the documented limit.
        body_limit=max(DEFAULT_BODY_LIMIT, (megabytes or 0) * MEGABYTE),
        log_level=logging.INFO if level is None else level,
        queue=variables.QUEUE.read(environment) or 100,
        batch_size=variables.BATCH_SIZE.read(environment),
        batch_delay_ms=variables.BATCH_DELAY.read(environment),
        precision=variables.PRECISION.read(environment) or "auto",
        max_length=variables.MAX_LENGTH.read(environment),
        is_multi_model=variables.MULTI_MODEL.read(environment) == "true",
        logs_requests=variables.LOG_REQUESTS.read(environment) != "false",
        logs_texts=variables.LOG_TEXTS.read(environment) == "true",
        rules=rules,
        execution=_execution(environment, workers, megabytes),
    )


def _rules(environment: Mapping[str, str]) -> Rules:
    is_batch = variables.BATCH.read(environment) == "true"
    pairs = variables.PAIRS.read(environment)
    every_label = environment.get(variables.TOP_K.name, "").strip().lower() == "all"
    return Rules(
        is_batch=is_batch,
        pairs={"true": True, "false": False}.get(pairs),
        has_header=variables.HEADER.read(environment) == "present",
        max_inputs=variables.MAX_INPUTS.read(environment) or MAX_INPUTS,
        top_k=None if every_label else variables.TOP_K.read(environment) or 1,
        accept=variables.ACCEPT.read(environment),
    )


def _execution(
    environment: Mapping[str, str], workers: int, megabytes: int | None
) -> ExecutionParameters:
    """What suits this instance.

    Twice as many requests as workers, so that none waits for the next one; a payload that takes a
    worker well less than the timeout: a CPU core answers some 150 sentences a second, of which
    1 MB holds 20,000.
    """
    strategy = variables.BATCH_STRATEGY.read(environment) or "multi_record"
    payload = megabytes or (6 if default_workers(0) else min(6, max(1, available_cores() // 4)))
    most = max(1, LARGEST_PAYLOAD // payload)
    transforms = variables.TRANSFORMS.read(environment) or 2 * workers
    words = {"multi_record": "MultiRecord", "single_record": "SingleRecord"}
    return ExecutionParameters(min(transforms, most), words[strategy], payload)


def default_workers(lowest: int = 1) -> int:
    """One for each GPU; on a CPU one, which uses all cores for each request."""
    return max(lowest, len(list(Path("/dev").glob("nvidia[0-9]*"))))
