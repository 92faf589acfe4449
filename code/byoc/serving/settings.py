"""The environment as typed settings of `serve`; a wrong value ends it before anything starts.

The names are SageMaker's and sagemaker-inference's. What is not set gets the documented default.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from byoc.serving.faults import ServingFault

DEFAULT_PORT = 8080
DEFAULT_BODY_LIMIT = 6 * 1024 * 1024
"""Bytes: 6,291,456, the limit of a real-time endpoint."""
MEGABYTE = 1024 * 1024
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


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


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings, from the environment.

    Raises ``ServingFault`` naming the variable that has a wrong value.
    """
    workers = _number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", _default_workers(), 1, 256)
    timeout = _number(environment, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60, 1, 3600)
    megabytes = _number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6, 1, 100)
    threads = max(1, available_cores() // workers)
    return Settings(
        port=_number(environment, "SAGEMAKER_BIND_TO_PORT", DEFAULT_PORT, 1, 65535),
        workers=workers,
        threads=_number(environment, "OMP_NUM_THREADS", threads, 1, 1024),
        timeout=_number(environment, "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", timeout, 1, 3600),
        startup_timeout=_number(environment, "SAGEMAKER_STARTUP_TIMEOUT", 600, 1, 3600),
        # "Raises it": a smaller value does not take from the documented limit.
        body_limit=max(DEFAULT_BODY_LIMIT, megabytes * MEGABYTE),
        log_level=_level(environment.get("SAGEMAKER_CONTAINER_LOG_LEVEL", "")),
    )


def available_cores(root: Path = Path("/")) -> int:
    """CPU cores that this container may use: its affinity and its cgroup's quota, not the host's.

    Source: the kernel's cgroup documentation, cpu.max (v2) and cpu.cfs_quota_us (v1).
    """
    cores = len(os.sched_getaffinity(0))
    quota = _quota(root / "sys/fs/cgroup")
    return max(1, min(cores, int(quota))) if quota else cores


def _quota(cgroup: Path) -> float | None:
    """How many cores' worth of time the cgroup has; None where nothing limits it."""
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return None if limit in {"max", "-1"} else max(1.0, int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _default_workers() -> int:
    """One for each GPU; on a CPU one, which uses all cores for each request."""
    return max(1, len(list(Path("/dev").glob("nvidia[0-9]*"))))


def _number(
    environment: Mapping[str, str], name: str, default: int, lowest: int, highest: int
) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        raise ServingFault(f"{name} is {text!r}: give a whole number from {lowest} to {highest}")
    return value


def _level(text: str) -> int:
    """A number, as SageMaker sets it, or a name of ``logging``."""
    text = text.strip().upper()
    if not text:
        return logging.INFO
    if text.isdecimal():
        return int(text)
    if text not in _LEVELS:
        choice = ", ".join(_LEVELS)
        raise ServingFault(
            f"SAGEMAKER_CONTAINER_LOG_LEVEL is {text!r}: give a number or one of {choice}"
        )
    return logging.getLevelNamesMapping()[text]
