"""The options of `byoc train`, and the ones that only AWS obeys as a part of the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from byoc.commands.common import TRAINING_IMAGE, parse_hyperparameters, where_option
from byoc.launch.training_options import TrainingOptions

Options = dict[str, Any]

_OPTIONS = (
    where_option,
    click.option("--train", "train_", metavar="PATH", help="Training data: file, folder or URI."),
    click.option("--validation", metavar="PATH", help="Validation data; else a part of train."),
    click.option("--test", metavar="PATH", help="Test data."),
    click.option("--model", metavar="DIR", help="A pretrained encoder, as the channel model."),
    click.option("-H", "pairs", metavar="NAME=VALUE", multiple=True, help="A hyperparameter."),
    click.option(
        "--hyperparameters",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Hyperparameters as one JSON object; -H wins.",
    ),
    click.option("--image", default=TRAINING_IMAGE, show_default=True, help="On AWS: one in ECR."),
    click.option("--job-name", help="Default: byoc-train-TIME."),
    click.option(
        "--output",
        metavar="DIR",
        default="out/jobs",
        show_default=True,
        help="A folder or an s3:// URI.",
    ),
    click.option("--role", default=None, help="RoleArn; needed on AWS."),
    click.option("--instance-type", default=None, help="Default: local; on AWS ml.g5.xlarge."),
    click.option("--instance-count", type=click.IntRange(1), default=1, show_default=True),
    click.option(
        "--max-runtime",
        type=click.IntRange(1),
        default=24 * 3600,
        show_default=True,
        help="Seconds.",
    ),
    click.option("--spot", is_flag=True, help="Spot instances; needs --checkpoints."),
    click.option("--max-wait", type=click.IntRange(1), help="Seconds, the wait for spot included."),
    click.option("--checkpoints", metavar="URI", help="Where checkpoints are kept."),
    click.option("--keep-alive", type=click.IntRange(0), default=0, help="Warm pool, in seconds."),
    click.option("--network-isolation", is_flag=True, help="No network in the container."),
    click.option("--subnets", metavar="IDS", default="", help="Of a VPC, with commas."),
    click.option("--security-groups", metavar="IDS", default="", help="Of a VPC, with commas."),
    click.option("--kms-key", metavar="KEY", default="", help="For the output and the volume."),
    click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the job."),
    click.option("--volume-size", type=click.IntRange(1), help="GB; default: by the data's size."),
    click.option("--debug", is_flag=True, help="Debug and profile; see byoc debug report."),
    click.option("--debug-rules", metavar="RULES", help="all, none, names with commas, or JSON."),
    click.option("--debug-actions", metavar="ACTIONS", help="report; stop; command: …; sns: …"),
    click.option(
        "--managed-debugger", is_flag=True, help="SageMaker Debugger too, for those who have it."
    ),
    click.option(
        "--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end."
    ),
    click.option(
        "--print-request", is_flag=True, help="Print CreateTrainingJob's request, run nothing."
    ),
)


def train_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def aws_options(options: Options, checkpoints: str) -> TrainingOptions:
    """Those of the request; raises ``LaunchError`` for a tag that is no pair."""
    return TrainingOptions(
        instance_count=options["instance_count"],
        spot=options["spot"],
        max_wait=options["max_wait"] or 0,
        checkpoints=checkpoints,
        keep_alive=options["keep_alive"],
        network_isolation=options["network_isolation"],
        subnets=_list(options["subnets"]),
        security_groups=_list(options["security_groups"]),
        kms_key=options["kms_key"],
        tags=parse_hyperparameters(options["tags"], None, what="tag"),
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(it.strip() for it in text.split(",") if it.strip())
