"""A tuning on SageMaker: created, followed, stopped, and read into the same result as one here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from byoc.launch.errors import LaunchError
from byoc.training.config import is_platform_name, plain
from byoc.tuning.definition import check_name
from byoc.tuning.request import parse_ranges
from byoc.tuning.results import TrialResult, TuningResult

POLL_SECONDS = 30.0

_ENDED = ("Completed", "Failed", "Stopped")
_NUMBER = re.compile(r"-(\d{3,})-[^-]+$")
"""SageMaker names a tuning's jobs NAME-001-SOMETHING."""


class TuningClient(Protocol):
    """The methods of boto3's SageMaker client that are used here."""

    def create_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]: ...
    def describe_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]: ...
    def stop_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]: ...
    def list_training_jobs_for_hyper_parameter_tuning_job(
        self, **request: Any
    ) -> dict[str, Any]: ...


def read(client: TuningClient, name: str) -> TuningResult:
    """How the tuning ``name`` stands; raises ``LaunchError`` for what is no name, and botocore's
    errors where there is none of that name."""
    found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=check_name(name))
    config, training = found["HyperParameterTuningJobConfig"], found["TrainingJobDefinition"]
    objective = config["HyperParameterTuningJobObjective"]
    output = training["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    status = found["HyperParameterTuningJobStatus"]
    return TuningResult(
        name=name,
        where="sagemaker",
        objective=objective["MetricName"],
        direction=objective["Type"],
        status=status if status in _ENDED else "InProgress",
        jobs=_jobs(config),
        fixed={
            key: plain(value)
            for key, value in training.get("StaticHyperParameters", {}).items()
            if not is_platform_name(key)
        },
        trials=tuple(
            _trial(number, it, output)
            for number, it in enumerate(_summaries(client, name), start=1)
        ),
        ranges=parse_ranges(config.get("ParameterRanges", {})),
        cause=found.get("FailureReason", ""),
    )


def _jobs(config: Mapping[str, Any]) -> int:
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most:
        return int(most)
    points = 1
    for it in config["ParameterRanges"].get("CategoricalParameterRanges", ()):
        points *= len(it["Values"])
    return points


def _summaries(client: TuningClient, name: str) -> list[dict[str, Any]]:
    """All of the tuning's training jobs, in the order in which they were created."""
    found: list[dict[str, Any]] = []
    page: dict[str, str] = {}
    while True:
        answer = client.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            SortBy="CreationTime",
            SortOrder="Ascending",
            MaxResults=100,
            **page,
        )
        found += answer["TrainingJobSummaries"]
        if not answer.get("NextToken"):
            return found
        page = {"NextToken": answer["NextToken"]}


def _trial(number: int, found: Mapping[str, Any], output: str) -> TrialResult:
    job, status = found["TrainingJobName"], found["TrainingJobStatus"]
    named = _NUMBER.search(job)
    metric = found.get("FinalHyperParameterTuningJobObjectiveMetric")
    value = float(metric["Value"]) if metric else None
    cause = found.get("FailureReason", "")
    if status == "Stopped" and found.get("ObjectiveStatus") == "Succeeded":
        status, cause = "Pruned", cause or "stopped early by SageMaker"
    elif status == "Completed" and value is None:
        status, cause = "Failed", cause or "it completed, but the objective was not in its log"
    elif status not in _ENDED:
        status = "InProgress"
    return TrialResult(
        number=int(named[1]) if named else number,
        job=job,
        status=status,
        values={key: plain(text) for key, text in found["TunedHyperParameters"].items()},
        value=value,
        cause=cause,
        started=_seconds(found.get("TrainingStartTime")),
        ended=_seconds(found.get("TrainingEndTime")),
        artifact=f"{output}/{job}/output/model.tar.gz" if status == "Completed" else "",
    )


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def follow(
    client: TuningClient,
    name: str,
    show: Callable[[TuningResult], None],
    limit: Callable[[TuningResult], str] | None = None,
) -> TuningResult:
    """Waits for the tuning's end; ``limit`` says why it must be stopped, or ""."""
    stopped = ""
    while True:
        result = read(client, name)
        show(result)
        if result.status in _ENDED:
            return result
        if limit is not None and not stopped:
            stopped = limit(result)
            if stopped:
                stop(client, name)
        time.sleep(POLL_SECONDS)


def stop(client: TuningClient, name: str) -> None:
    """Asks SageMaker to end the tuning and its jobs; raises ``LaunchError`` where it has ended."""
    found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=check_name(name))
    if found["HyperParameterTuningJobStatus"] in _ENDED:
        raise LaunchError(f"tuning {name} has ended already")
    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
