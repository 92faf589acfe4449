"""The options of `byoc tune`, in groups, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from byoc.commands.common import TRAINING_IMAGE, parse_hyperparameters, where_option
from byoc.launch.errors import LaunchError
from byoc.tuning import definition_file, hyperparameters
from byoc.tuning.budget import Budget, read_price
from byoc.tuning.definition import (
    EARLY_STOPPING,
    GOALS,
    STRATEGIES,
    WARM_STARTS,
    Definition,
)

OUTPUT = "out/tune"

Options = dict[str, Any]
Command = Callable[..., Any]

_PLAIN = (
    *("objective", "goal", "strategy", "max_jobs", "max_parallel", "early_stopping"),
    *("max_epochs", "warm_start_type", "max_runtime", "seed"),
)
"""Flags that stand in a definition as they are."""

_DEFINITION = (
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
    click.option("--early-stopping", type=click.Choice(EARLY_STOPPING)),
    click.option("--max-epochs", type=click.IntRange(1), help="Hyperband's."),
    click.option("--warm-start", metavar="TUNING", multiple=True, help="Earlier tunings."),
    click.option("--warm-start-type", type=click.Choice(WARM_STARTS)),
    click.option("--max-runtime", type=click.IntRange(1), help="Seconds of one trial."),
    click.option("--seed", type=click.IntRange(0)),
)
_JOB = (
    where_option,
    click.option("--name", help="Of the tuning; one that is there is gone on with."),
    click.option("--data", metavar="DATA", help="As in byoc demo; default: embedded."),
    click.option("--train", "train_", metavar="PATH", help="In DATA's place, as byoc train."),
    click.option("--validation", metavar="PATH", help="Validation data."),
    click.option("--test", metavar="PATH", help="Test data."),
    click.option("--model", metavar="DIR", help="A pretrained encoder."),
    click.option("-E", "variables", metavar="NAME=VALUE", multiple=True, help="Environment."),
    click.option("--image", default=TRAINING_IMAGE, show_default=True),
    click.option("--output", metavar="DIR", default=OUTPUT, show_default=True),
    click.option("--storage", metavar="URL", help="A database that several hosts share."),
)
_BUDGET = (
    click.option("--max-time", type=click.FloatRange(0), help="Seconds of the whole tuning."),
    click.option("--max-cost", type=click.FloatRange(0), help="Of all trials; needs --prices."),
    click.option(
        "--prices",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help='TOML: "ml.g5.xlarge" = price of an hour; "local" is this machine.',
    ),
)
_FINAL = (
    click.option("--then-train", is_flag=True, help="Afterwards train as the best trial did."),
    click.option("--debug", is_flag=True, help="In that training; see byoc debug report."),
)
_AWS = (
    click.option("--role", help="RoleArn; needed on AWS."),
    click.option("--instance-type", default="ml.g5.xlarge", show_default=True, help="On AWS."),
    click.option("--spot", is_flag=True, help="On AWS: spot hosts; needs --checkpoints."),
    click.option("--checkpoints", metavar="URI", help="s3:// for spot trials' checkpoints."),
    click.option("--print-request", is_flag=True, help="Print the request for AWS, run nothing."),
    click.option("--detach", is_flag=True, help="On AWS: do not wait."),
)


def _all(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def added(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return added


definition_options, job_options = _all(_DEFINITION), _all(_JOB)
budget_options, final_options, aws_options = _all(_BUDGET), _all(_FINAL), _all(_AWS)


def definition(options: Options) -> Definition:
    """The definition that is asked for, checked.

    Raises ``LaunchError`` that names all its faults, what `train` would say included.
    """
    flags = {name.replace("_", "-"): options[name] for name in _PLAIN}
    flags["ranges"] = dict(definition_file.range_flag(flag) for flag in options["ranges"]) or None
    flags["fixed"] = parse_hyperparameters(options["pairs"], None) or None
    flags["warm-start"] = list(options["warm_start"]) or None
    found = definition_file.read(options["preset"], options["file"], flags)
    if options["where"] == "process" or _repository(options["image"]) == _repository(
        TRAINING_IMAGE  # another image's hyperparameters are its own affair
    ):
        faults = hyperparameters.faults(found, {})
        if faults:
            raise LaunchError("this tuning cannot be run: train would say: " + "; ".join(faults))
    return found


def _repository(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0].partition("@")[0]


def budget(options: Options, instance: str) -> Budget:
    """Raises ``LaunchError`` where a cost is limited and the price is not known."""
    price = read_price(options["prices"], instance)
    if options["max_cost"] and price is None:
        raise LaunchError("--max-cost needs --prices, a table with the price of an hour")
    return Budget(options["max_time"] or 0.0, options["max_cost"] or 0.0, price)
