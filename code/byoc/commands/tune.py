"""`byoc tune`: the same ranges on a laptop and on SageMaker."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from byoc.commands import tune_final, tune_sagemaker
from byoc.commands.common import note, parse_hyperparameters, say, unique_name
from byoc.commands.tune_options import (
    OUTPUT,
    Options,
    aws_options,
    budget,
    budget_options,
    definition_options,
    final_options,
    job_options,
)
from byoc.commands.tune_options import definition as read_definition
from byoc.launch import data as launch_data
from byoc.launch import requests
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri
from byoc.tuning import files
from byoc.tuning.budget import estimate
from byoc.tuning.definition import Definition, check_name
from byoc.tuning.results import TuningResult
from byoc.tuning.table import Lines, LiveTable, headline


@click.group(invoke_without_command=True)
@definition_options
@job_options
@budget_options
@final_options
@aws_options
@click.pass_context
def tune(context: click.Context, /, **options: Any) -> int | None:
    """Tunes hyperparameters; a tuning that was broken off goes on where it stood."""
    if context.invoked_subcommand is not None:
        return None
    tune_final.check(then_train=options["then_train"], debug=options["debug"])
    definition = read_definition(options)
    if options["where"] != "sagemaker":
        if options["print_request"]:
            raise LaunchError("--print-request is for --where sagemaker")
        return _run_here(definition, options)
    job, request, limit = tune_sagemaker.prepare(definition, options)
    with shown() as show:
        result = tune_sagemaker.run(definition, options, request, limit, show)
    if result is None:
        return 0
    folder = Path(OUTPUT) / result.name  # --output is a place on S3
    files.write(result, folder)
    return _end(result, job, options, folder)


def _run_here(definition: Definition, options: Options) -> int:
    with needs_optuna():
        from byoc.tuning import here, study_results
        from byoc.tuning.study import Plan, Study

    name = check_name(options["name"] or unique_name("tune"))
    folder = Path(options["output"]) / name
    source = {
        key: str(options[key])
        for key in ("data", *tune_sagemaker.CHANNELS.values())
        if options[key]
    }
    bare = requests.TrainingJob(
        name,
        options["image"],
        {},
        to_uri(folder / "jobs"),
        environment=parse_hyperparameters(options["variables"], None),
    )
    limit = budget(options, bare.instance_type)
    wanted = Plan(definition, bare, options["where"], source)

    def plan() -> Plan:
        channels, usual = _channels(options, folder, definition)
        job = dataclasses.replace(bare, channels=channels, hyperparameters=usual)
        return dataclasses.replace(wanted, job=job)

    study = Study(folder, name, options["storage"])
    here.begin(study, plan, wanted, note)
    note(f"tuning {name} in {folder}")
    here.look(study, note)
    note(estimate(definition, limit, study_results.read(study).trials))
    with shown() as show:
        result = here.work(study, show, note, limit.limit)
    return _end(result, study.plan.job, options, folder)


def _end(result: TuningResult, job: requests.TrainingJob, options: Options, folder: Path) -> int:
    code = report(result, folder)
    if options["then_train"] and code == 0:
        tune_final.train(result, job, debug=options["debug"])
    return code


def _channels(
    options: Options, folder: Path, definition: Definition
) -> tuple[dict[str, str], dict[str, str]]:
    """The trials' channels as URIs, and hyperparameters that suit the data."""
    if options["train_"]:
        if options["data"]:
            raise LaunchError("--data and --train say the same: leave one of them out")
        given = {name: options[key] for name, key in tune_sagemaker.CHANNELS.items()}
        return {name: to_uri(Path(path)) for name, path in given.items() if path}, {}
    scratch = definition.fixed.get("model-name-or-path") == launch_data.SCRATCH
    prepared = launch_data.prepare(
        options["data"], options["model"], folder / "data", scratch=scratch
    )
    channels = {name: to_uri(path) for name, path in prepared.channels.items()}
    return channels, dict(prepared.hyperparameters)


@contextlib.contextmanager
def needs_optuna() -> Iterator[None]:
    """Tuning on SageMaker needs no Optuna, so it is an extra of its own."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise LaunchError(
            f"tuning on this machine needs {error.name}: install byoc with its extra tune"
        ) from error


@contextlib.contextmanager
def shown() -> Iterator[Callable[[TuningResult], None]]:
    """The live table in a terminal, else a line for each change."""
    if not sys.stdout.isatty():
        yield Lines(say)
        return
    with LiveTable(Console(markup=False, highlight=False)) as live:
        yield live


def report(result: TuningResult, folder: Path) -> int:
    """Says how the tuning stands, what is best and where that lies; the command's exit code."""
    say(headline(result))
    say(f"page:  {folder / files.PAGE}")
    if result.cause:
        note(f"it was stopped: {result.cause}")
    best = result.best
    if best is None:
        causes = [f"trial {it.number}: {it.cause}" for it in result.trials if it.cause]
        note("no trial has completed" + (f": {causes[0]}" if causes else ""))
        return 1
    pairs = " ".join(f"{name}={value}" for name, value in best.values.items())
    say(f"best:  trial {best.number}, {result.objective}={best.value:.6g}: {pairs}")
    say(f"model: {best.artifact or 'none was kept'}")
    say(f"for byoc train: --hyperparameters {folder / files.BEST}")
    return 0
