"""`byoc tune … --then-train`: one more training job, with the best trial's hyperparameters."""

from __future__ import annotations

import dataclasses
import uuid

from byoc.commands.common import note, say
from byoc.launch import debugger, jobs, requests
from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.tuning.results import TuningResult


def check(*, then_train: bool, debug: bool) -> None:
    """Raises ``LaunchError`` where nothing could be debugged."""
    if debug and not then_train:
        raise LaunchError("--debug is for the training after a tuning: give --then-train too")


def train(result: TuningResult, job: requests.TrainingJob, *, debug: bool) -> None:
    """Trains as the best trial did, with debugging on if asked for; ``job`` is the trials'.

    Tuning jobs cannot carry rules, and a trial has only its share of the machine. Raises
    ``LaunchError`` where no trial has completed, or the job does not.
    """
    if result.best is None:
        raise LaunchError(f"tuning {result.name} has no completed trial to train anew")
    chosen = result.best_hyperparameters
    if debug:
        chosen = debugger.hyperparameters(None, None, chosen)
    name = f"{result.name}-final-{uuid.uuid4().hex[:4]}"
    note(f"training {name} as trial {result.best.number}")
    final = dataclasses.replace(job, name=name, hyperparameters=chosen)
    ended = jobs.run(make_client(result.where, note), requests.training_job(final), say)
    say(f"final model: {ended['ModelArtifacts']['S3ModelArtifacts']}")
