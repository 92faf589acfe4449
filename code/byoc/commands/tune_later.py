"""`byoc tune show|attach|stop NAME`: a tuning that there is already."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from byoc.commands.common import note, say
from byoc.commands.tune import OUTPUT, needs_optuna, report, shown

_STOP_SECONDS = 150.0
_POLL_SECONDS = 0.5
STOPPED = "stopped by byoc tune stop"


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.argument("name"),
            click.option("--output", metavar="DIR", default=OUTPUT, show_default=True),
            click.option("--storage", metavar="URL", help="As the tuning was begun with."),
        )
    ):
        command = option(command)
    return command


@click.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
def show(name: str, output: str, storage: str | None, as_json: bool) -> int:
    """How a tuning stands, and its best trial."""
    with needs_optuna():
        from byoc.tuning import here, study_results
    from byoc.tuning.table import table

    folder = Path(output) / name
    result = study_results.read(here.find(folder, name, storage))
    if as_json:
        say(result.to_json())
        return 0
    here.write(result, folder)
    Console(markup=False, highlight=False).print(table(result))
    return report(result, folder)


@click.command()
@_options
@click.option("--max-jobs", type=click.IntRange(1), help="Trials in all, from now on.")
@click.option("--max-parallel", type=click.IntRange(1), help="Trials at a time of this process.")
def attach(
    name: str, output: str, storage: str | None, max_jobs: int | None, max_parallel: int | None
) -> int:
    """Goes on with a tuning that was broken off, or works on a running one beside others."""
    with needs_optuna():
        from byoc.tuning import here

    folder = Path(output) / name
    study = here.find(folder, name, storage)
    study.stop("")
    if max_jobs is not None:
        plan = study.plan
        definition = dataclasses.replace(plan.definition, max_jobs=max_jobs)
        study.change(dataclasses.replace(plan, definition=definition))
    with shown() as show:
        result = here.work(study, show, note, max_parallel=max_parallel)
    return report(result, folder)


@click.command()
@_options
def stop(name: str, output: str, storage: str | None) -> int:
    """Ends a tuning's trials, in all processes; each keeps its best model so far."""
    with needs_optuna():
        from byoc.tuning import here, study_results

    folder = Path(output) / name
    study = here.find(folder, name, storage)
    study.stop(STOPPED)
    with shown() as show:
        result = here.work(study, show, note)
    deadline = time.monotonic() + _STOP_SECONDS
    while result.status == "InProgress" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # another process is ending its own
        result = study_results.read(study)
    say(f"{name}: {result.status}, {len(result.trials)} of {result.jobs} trials")
    return 0 if result.status != "InProgress" else 1
