"""The operations of SageMaker that we use and moto lacks; each line here is one of them.

`test_front.py` asks moto for each: one that moto has learned must go from this list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from front.calls import Call
from front.progress import ENDED, Fields, Thing

if TYPE_CHECKING:
    from front.server import Front


class Refusal(Exception):  # noqa: N818  (an answer)
    """AWS's answer to what cannot be done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def stop_training_job(front: Front, call: Call) -> Fields:
    return _stop(front, call, "TrainingJob")


def stop_transform_job(front: Front, call: Call) -> Fields:
    return _stop(front, call, "TransformJob")


def stop_hyper_parameter_tuning_job(front: Front, call: Call) -> Fields:
    return _stop(front, call, "HyperParameterTuningJob")


def _stop(front: Front, call: Call, kind: str) -> Fields:
    """A job that has ended is refused, as AWS does; else it stops at the next description."""
    thing = _thing(front, call, kind)
    if not thing.steps and thing.status in ("", *ENDED):
        raise Refusal(
            "ValidationException",
            f"The request was rejected because the {kind} is in status "
            f"{thing.status or 'Completed'}. It must be InProgress.",
        )
    status = f"{kind}Status"
    steps = [{status: "Stopping"}, {status: "Stopped"}]
    if kind == "TrainingJob":
        steps = [{**it, "SecondaryStatus": it[status]} for it in steps]
    thing.steps = steps
    return {}


def _thing(front: Front, call: Call, kind: str) -> Thing:
    name = call.request[f"{kind}Name"]
    found = front.progress.things.get((kind, name))
    if found is None:
        raise Refusal("ResourceNotFound", f"Requested resource not found: {kind} {name}.")
    return found


def update_endpoint(front: Front, call: Call) -> Fields:
    """The endpoint has the new configuration once it is in service again."""
    name, config = call.request["EndpointName"], call.request["EndpointConfigName"]
    described = front.ask_moto(call, "DescribeEndpoint", {"EndpointName": name})
    new = front.ask_moto(call, "DescribeEndpointConfig", {"EndpointConfigName": config})
    thing = front.progress.things.setdefault(
        ("Endpoint", name), Thing("Endpoint", name, {"EndpointName": name})
    )
    if thing.status in ("Creating", "Updating", "RollingBack", "Deleting"):
        raise Refusal(
            "ValidationException",
            f'Cannot update in-progress endpoint "{described["EndpointArn"]}".',
        )
    planned = front.progress.plans_of("EndpointUpdate")
    thing.request = {**thing.request, "LastDeploymentConfig": call.request.get("DeploymentConfig")}
    if thing.request["LastDeploymentConfig"] is None:
        del thing.request["LastDeploymentConfig"]
    old = thing.request.get("EndpointConfigName", described["EndpointConfigName"])
    thing.request["EndpointConfigName"] = old
    thing.now = {"EndpointStatus": "Updating"}
    done: Fields = {
        "EndpointStatus": "InService",
        "EndpointConfigName": config,
        "ProductionVariants": [_variant(it) for it in new["ProductionVariants"]],
    }
    thing.steps = planned or [{"EndpointStatus": "Updating"}, done]
    return {"EndpointArn": described["EndpointArn"]}


def _variant(config: Fields) -> Fields:
    count = config.get("InitialInstanceCount")
    counts = {"CurrentInstanceCount": count, "DesiredInstanceCount": count} if count else {}
    return {"VariantName": config["VariantName"], **counts}


def list_training_jobs_for_hyper_parameter_tuning_job(front: Front, call: Call) -> Fields:
    """The trials that the test has planned; a page holds two."""
    name = call.request["HyperParameterTuningJobName"]
    _thing(front, call, "HyperParameterTuningJob")
    start = int(call.request.get("NextToken", 0))
    trials = front.trials.get(name, front.trials.get("", []))
    more = {"NextToken": str(start + 2)} if start + 2 < len(trials) else {}
    return {"TrainingJobSummaries": trials[start : start + 2], **more}


LACKING: dict[str, Callable[[Any, Call], Fields]] = {
    "StopTrainingJob": stop_training_job,
    "StopTransformJob": stop_transform_job,
    "StopHyperParameterTuningJob": stop_hyper_parameter_tuning_job,
    "UpdateEndpoint": update_endpoint,
    "ListTrainingJobsForHyperParameterTuningJob": list_training_jobs_for_hyper_parameter_tuning_job,
}
