"""`byoc tune --where sagemaker`: the request, and following what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable

from byoc.commands.common import note, parse_hyperparameters, say, unique_name
from byoc.commands.tune_options import OUTPUT, Options, budget
from byoc.launch import images, requests
from byoc.launch.aws import client
from byoc.launch.errors import LaunchError
from byoc.tuning import managed, matter
from byoc.tuning.budget import Budget, estimate
from byoc.tuning.definition import Definition, check_name
from byoc.tuning.request import Limits, tuning_job
from byoc.tuning.results import TuningResult

CHANNELS = {"train": "train_", "validation": "validation", "test": "test", "model": "model"}


def prepare(
    definition: Definition, options: Options
) -> tuple[requests.TrainingJob, requests.Request, Budget]:
    """The trials' job, CreateHyperParameterTuningJob and the budget.

    Raises ``LaunchError`` for what AWS lacks.
    """
    if not options["role"]:
        raise LaunchError("--where sagemaker needs --role, the ARN of the jobs' execution role")
    if options["detach"] and options["then_train"]:
        raise LaunchError("--then-train waits for the tuning's end: leave --detach out")
    if options["data"] or options["storage"]:
        raise LaunchError("--data and --storage are for this machine: on AWS give --train")
    if not options["train_"]:
        raise LaunchError("--where sagemaker needs --train, an s3:// URI")
    if options["output"] == OUTPUT:
        raise LaunchError("--where sagemaker needs --output, an s3:// URI")
    given = {name: options[key] for name, key in CHANNELS.items() if options[key]}
    for what, uri in {**given, "output": options["output"]}.items():
        if not uri.startswith("s3://"):
            raise LaunchError(f"{what} is {uri}: on AWS it must be an s3:// URI")
    job = requests.TrainingJob(
        name=check_name(options["name"] or unique_name("tune")),
        image=options["image"],
        channels=given,
        output=options["output"],
        role=options["role"],
        instance_type=options["instance_type"],
        environment=parse_hyperparameters(options["variables"], None),
    )
    limit = budget(options, options["instance_type"])
    limits = Limits(
        runtime=limit.runtime(definition),
        spot=options["spot"],
        checkpoints=options["checkpoints"] or "",
    )
    return job, tuning_job(definition, job, limits), limit


def run(
    definition: Definition,
    options: Options,
    wanted: requests.Request,
    limit: Budget,
    show: Callable[[TuningResult], None],
) -> TuningResult | None:
    """Creates the tuning and follows it; None where nothing is to be followed."""
    if options["print_request"]:
        say(json.dumps(wanted, indent=2))
        return None
    channels = [it["ChannelName"] for it in wanted["TrainingJobDefinition"]["InputDataConfig"]]
    for line in matter.findings(definition, dict.fromkeys(channels, "")):
        note(line)
    if matter.needs_lengths(definition):
        note(
            f"whether {matter.LENGTH} matters hangs on the data, which are on S3: the same command "
            "with --where process on a copy of them tells"
        )
    note(estimate(definition, limit, ()))
    name = wanted["HyperParameterTuningJobName"]
    sagemaker = client("sagemaker")
    algorithm = wanted["TrainingJobDefinition"]["AlgorithmSpecification"]
    pinned = images.pinned(algorithm["TrainingImage"], sagemaker.meta.region_name)
    algorithm["TrainingImage"] = pinned  # all trials run the same bytes, however long it takes
    sagemaker.create_hyper_parameter_tuning_job(**wanted)
    note(f"tuning {name} has begun on SageMaker")
    if options["detach"]:
        note(f"byoc tune attach {name} --where sagemaker follows it")
        return None
    return follow(name, show, limit)


def follow(
    name: str, show: Callable[[TuningResult], None], limit: Budget | None = None
) -> TuningResult:
    """Waits for the end; Ctrl-C only ends the watching, and says so."""
    try:
        return managed.follow(client("sagemaker"), name, show, limit.limit if limit else None)
    except KeyboardInterrupt:
        note(f"tuning {name} goes on: byoc tune stop {name} --where sagemaker ends it")
        raise
