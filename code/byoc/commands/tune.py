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

from byoc.commands.common import (
    TRAINING_IMAGE,
    note,
    parse_hyperparameters,
    say,
    unique_name,
    where_option,
)
from byoc.launch import data as launch_data
from byoc.launch import requests
from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_uri
from byoc.tuning import definition_file, hyperparameters
from byoc.tuning.definition import GOALS, STRATEGIES, WARM_STARTS, Definition, check_name
from byoc.tuning.results import TuningResult

OUTPUT = "out/tune"

Options = dict[str, Any]

_PLAIN = (
    *("objective", "goal", "strategy", "max_jobs", "max_parallel", "early_stopping"),
    *("max_epochs", "warm_start_type", "max_runtime", "seed"),
)
"""Flags that stand in a definition as they are."""


def definition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is tuned."""
    for option in reversed(
        (
            click.option("--preset", metavar="NAME", help="A definition that comes with byoc."),
            click.option(
                "--definition",
                "file",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="A definition, TOML (docs/tuning.md); wins over the preset.",
            ),
            click.option("--objective", metavar="METRIC", help="What is made small or large."),
            click.option("--goal", type=click.Choice(GOALS), help="Default: by the metric's name."),
            click.option(
                "--range",
                "ranges",
                metavar="NAME=RANGE",
                multiple=True,
                help="lr=1e-5:1e-4:Logarithmic, epochs=2:8 or batch-size=16,32.",
            ),
            click.option("-H", "pairs", metavar="NAME=VALUE", multiple=True, help="A fixed one."),
            click.option("--strategy", type=click.Choice(STRATEGIES)),
            click.option("--max-jobs", type=click.IntRange(1), help="Trials in all."),
            click.option("--max-parallel", type=click.IntRange(1), help="Trials at a time."),
            click.option("--early-stopping", type=click.Choice(["Off", "Auto"])),
            click.option("--max-epochs", type=click.IntRange(1), help="Hyperband's."),
            click.option("--warm-start", metavar="TUNING", multiple=True, help="Earlier tunings."),
            click.option("--warm-start-type", type=click.Choice(WARM_STARTS)),
            click.option("--max-runtime", type=click.IntRange(1), help="Seconds of one trial."),
            click.option("--seed", type=click.IntRange(0)),
        )
    ):
        command = option(command)
    return command


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a trial is, and where it runs."""
    for option in reversed(
        (
            where_option,
            click.option("--name", help="Of the tuning; one that is there is gone on with."),
            click.option("--data", metavar="DATA", help="As in byoc demo; default: embedded."),
            click.option(
                "--train", "train_", metavar="PATH", help="In DATA's place, as byoc train."
            ),
            click.option("--validation", metavar="PATH", help="Validation data."),
            click.option("--test", metavar="PATH", help="Test data."),
            click.option("--model", metavar="DIR", help="A pretrained encoder."),
            click.option(
                "-E", "variables", metavar="NAME=VALUE", multiple=True, help="Environment."
            ),
            click.option("--image", default=TRAINING_IMAGE, show_default=True),
            click.option("--output", metavar="DIR", default=OUTPUT, show_default=True),
            click.option("--storage", metavar="URL", help="A database that several hosts share."),
        )
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@definition_options
@job_options
@click.pass_context
def tune(context: click.Context, /, **options: Any) -> int | None:
    """Tunes hyperparameters; a tuning that was broken off goes on where it stood."""
    if context.invoked_subcommand is not None:
        return None
    definition = _definition(options)
    _check_hyperparameters(definition, options)
    return _run_here(definition, options)


def _definition(options: Options) -> Definition:
    flags = {name.replace("_", "-"): options[name] for name in _PLAIN}
    flags["ranges"] = dict(definition_file.range_flag(flag) for flag in options["ranges"]) or None
    flags["fixed"] = parse_hyperparameters(options["pairs"], None) or None
    flags["warm-start"] = list(options["warm_start"]) or None
    return definition_file.read(options["preset"], options["file"], flags)


def _check_hyperparameters(definition: Definition, options: Options) -> None:
    """Another image's hyperparameters are its own affair."""
    if (
        options["where"] != "process"
        and options["image"].rpartition("/")[2].partition(":")[0]
        != (TRAINING_IMAGE.partition(":")[0])
    ):
        return
    faults = hyperparameters.faults(definition, {})
    if faults:
        raise LaunchError("this tuning cannot be run: train would say: " + "; ".join(faults))


def _run_here(definition: Definition, options: Options) -> int:
    with needs_optuna():
        from byoc.tuning import here
        from byoc.tuning.study import Plan, Study

    name = check_name(options["name"] or unique_name("tune"))
    folder = Path(options["output"]) / name
    source = {
        key: str(options[key])
        for key in ("data", "train_", "validation", "test", "model")
        if options[key]
    }
    bare = requests.TrainingJob(
        name,
        options["image"],
        {},
        to_uri(folder / "jobs"),
        environment=parse_hyperparameters(options["variables"], None),
    )
    wanted = Plan(definition, bare, options["where"], source)

    def plan() -> Plan:
        channels, usual = _channels(options, folder, definition)
        job = dataclasses.replace(bare, channels=channels, hyperparameters=usual)
        return dataclasses.replace(wanted, job=job)

    study = Study(folder, name, options["storage"])
    here.begin(study, plan, wanted, note)
    note(f"tuning {name} in {folder}")
    with shown() as show:
        result = here.work(study, show, note)
    return report(result, folder)


def _channels(
    options: Options, folder: Path, definition: Definition
) -> tuple[dict[str, str], dict[str, str]]:
    """The trials' channels as URIs, and hyperparameters that suit the data."""
    if options["train_"]:
        if options["data"]:
            raise LaunchError("--data and --train say the same: leave one of them out")
        given = {"train": options["train_"], "validation": options["validation"]}
        given |= {"test": options["test"], "model": options["model"]}
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
    from byoc.tuning.table import Lines, LiveTable

    if not sys.stdout.isatty():
        yield Lines(say)
        return
    with LiveTable(Console(markup=False, highlight=False)) as live:
        yield live


def report(result: TuningResult, folder: Path | None) -> int:
    """Says how the tuning ended and what is best; the command's exit code."""
    from byoc.tuning.here import BEST
    from byoc.tuning.table import headline

    say(headline(result))
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
    if folder is not None:
        say(f"for byoc train: --hyperparameters {folder / BEST}")
    return 0
