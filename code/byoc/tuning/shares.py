"""What the trials on one machine share: its cores, and the tokenized rows."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from byoc.contract import TOKENS_DIR_VARIABLE
from byoc.cores import available_cores
from byoc.launch.requests import TrainingJob
from byoc.launch.uris import to_uri
from byoc.tuning.matter import SCRIPT
from byoc.tuning.study import Plan

TOKENS = "tokens"
"""The folder in a tuning's, and the channel by which containers see it."""


def with_shares(plan: Plan, folder: Path) -> Plan:
    """The plan as this machine runs it; the user's own environment wins.

    Each parallel trial gets its share of the cores: more threads than cores would wait for each
    other at every step.
    """
    job = _with_tokens(plan, folder)
    threads = str(_threads(plan.definition.max_parallel))
    shares = {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    job = dataclasses.replace(job, environment={**shares, **job.environment})
    return dataclasses.replace(plan, job=job)


def _threads(parallel: int) -> int:
    cores = available_cores()
    own = os.environ.get("OMP_NUM_THREADS", "")
    most = int(own) if own.isdigit() else cores  # fewer, where the user says so
    return max(1, min(most, cores // parallel))


def _with_tokens(plan: Plan, folder: Path) -> TrainingJob:
    job = plan.job
    if SCRIPT in plan.definition.fixed:
        return job
    tokens = folder.absolute() / TOKENS
    tokens.mkdir(parents=True, exist_ok=True)
    where, channels = str(tokens), dict(job.channels)
    if plan.where == "local":
        # Local mode mounts a channel's folder itself, and containers can write to it.
        where, channels = f"/opt/ml/input/data/{TOKENS}", {**channels, TOKENS: to_uri(tokens)}
    environment = {TOKENS_DIR_VARIABLE: where, **job.environment}
    return dataclasses.replace(job, channels=channels, environment=environment)
