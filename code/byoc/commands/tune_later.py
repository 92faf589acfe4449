"""`byoc tune show|attach|stop NAME`: a tuning that there is already."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from byoc.commands import tune_sagemaker
from byoc.commands.common import note, say
from byoc.commands.tune import needs_optuna, report, shown
from byoc.commands.tune_options import OUTPUT, budget, budget_options
from byoc.launch.aws import client
from byoc.launch.errors import LaunchError
from byoc.tuning import files, managed
from byoc.tuning.results import TuningResult
from byoc.tuning.table import table

_STOP_SECONDS = 150.0
_POLL_SECONDS = 0.5
STOPPED = "stopped by byoc tune stop"


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--storage", metavar="URL", help="As the tuning was begun with."),
        click.option("--output", metavar="DIR", default=OUTPUT, show_default=True),
        click.option(
            "--where",
            type=click.Choice(["here", "sagemaker"]),
            default="here",
            show_default=True,
            help="here: in --output's folder; sagemaker: on AWS, results in it.",
        ),
        click.argument("name"),
    ):
        command = option(command)
    return command


@click.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
def show(name: str, where: str, output: str, storage: str | None, as_json: bool) -> int:
    """How a tuning stands, and its best trial."""
    folder = Path(output) / name
    if where == "sagemaker":
        result = managed.read(client("sagemaker"), name)
    else:
        with needs_optuna():
            from byoc.tuning import here, study_results
        result = study_results.read(here.find(folder, name, storage))
    files.write(result, folder)
    if as_json:
        say(result.to_json())
        return 0
    Console(markup=False, highlight=False).print(table(result))
    return report(result, folder)


@click.command()
@_options
@click.option("--max-jobs", type=click.IntRange(1), help="Trials in all, from now on.")
@click.option("--max-parallel", type=click.IntRange(1), help="Trials at a time of this process.")
@budget_options
def attach(name: str, where: str, output: str, storage: str | None, **options: Any) -> int:
    """Goes on with a tuning that was broken off, works on a running one beside others, or follows
    one on SageMaker."""
    if where == "sagemaker":
        given = [f"--{key.replace('_', '-')}" for key, value in options.items() if value]
        if given:
            raise LaunchError(
                f"{', '.join(given)}: nothing of a tuning on SageMaker can be changed"
            )
        with shown() as shows:
            result = tune_sagemaker.follow(name, shows)
        files.write(result, Path(output) / name)
        return report(result, Path(output) / name)
    with needs_optuna():
        from byoc.tuning import here

    folder = Path(output) / name
    study = here.find(folder, name, storage)
    study.stop("")
    plan = study.plan
    if options["max_jobs"] is not None:
        definition = dataclasses.replace(plan.definition, max_jobs=options["max_jobs"])
        study.change(dataclasses.replace(plan, definition=definition))
    limit = budget(options, plan.job.instance_type)
    with shown() as shows:
        result = here.work(study, shows, note, limit.limit, options["max_parallel"])
    return report(result, folder)


@click.command()
@_options
def stop(name: str, where: str, output: str, storage: str | None) -> int:
    """Ends a tuning's trials, in all processes; each keeps its best model so far."""
    if where == "sagemaker":
        managed.stop(client("sagemaker"), name)
        say(f"{name}: Stopping")
        return 0
    with needs_optuna():
        from byoc.tuning import here, study_results

    study = here.find(Path(output) / name, name, storage)
    study.stop(STOPPED)
    with shown() as shows:
        result = here.work(study, shows, note)
    deadline = time.monotonic() + _STOP_SECONDS
    while _runs(result) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # another process is ending its own
        result = study_results.read(study)
    say(f"{name}: {result.status}, {len(result.trials)} of {result.jobs} trials")
    return 1 if _runs(result) else 0


def _runs(result: TuningResult) -> bool:
    return result.status == "InProgress"
