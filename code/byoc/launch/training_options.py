"""What a training job on AWS may have besides the job itself: spot, warm pool, network, keys, tags.

Source: CreateTrainingJob in the API's reference, and its notes on what goes with what.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from byoc.launch.errors import LaunchError
from byoc.launch.requests import Request

LOCAL_STORAGE = (
    "g4dn",
    "g5",
    "g6",
    "g6e",
    "gr6",
    "p3dn",
    "p4d",
    "p4de",
    "p5",
    "p5e",
    "p5en",
    "trn1",
)
"""Instance families with an NVMe disk of their own, which AWS encrypts with a key of its own."""
MOST_KEEP_ALIVE = 3600


@dataclass(frozen=True)
class TrainingOptions:
    """Times in seconds; ``checkpoints``: URI of a folder; ``max_wait`` 0: twice ``max_runtime``."""

    instance_count: int = 1
    spot: bool = False
    max_wait: int = 0
    checkpoints: str = ""
    keep_alive: int = 0
    network_isolation: bool = False
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def add(request: Request, options: TrainingOptions) -> Request:
    """The request of CreateTrainingJob with ``options``; raises ``LaunchError`` for what AWS would
    refuse."""
    for fault in _faults(request, options):
        raise LaunchError(fault)
    made = copy.deepcopy(request)
    made["ResourceConfig"]["InstanceCount"] = options.instance_count
    if options.spot:
        limit = made["StoppingCondition"]["MaxRuntimeInSeconds"]
        made["EnableManagedSpotTraining"] = True
        made["StoppingCondition"]["MaxWaitTimeInSeconds"] = options.max_wait or 2 * limit
    if options.checkpoints:
        made["CheckpointConfig"] = {"S3Uri": options.checkpoints}
    if options.keep_alive:
        made["ResourceConfig"]["KeepAlivePeriodInSeconds"] = options.keep_alive
    if options.network_isolation:
        made["EnableNetworkIsolation"] = True
    if options.subnets:
        groups = list(options.security_groups)
        made["VpcConfig"] = {"Subnets": list(options.subnets), "SecurityGroupIds": groups}
    if options.kms_key:
        made["OutputDataConfig"]["KmsKeyId"] = options.kms_key
        if not has_local_storage(made["ResourceConfig"]["InstanceType"]):
            made["ResourceConfig"]["VolumeKmsKeyId"] = options.kms_key
    if options.tags:
        made["Tags"] = [{"Key": key, "Value": value} for key, value in options.tags.items()]
    return made


def has_local_storage(instance_type: str) -> bool:
    """SageMaker refuses a volume's key for these."""
    return instance_type.removeprefix("ml.").partition(".")[0] in LOCAL_STORAGE


def _faults(request: Request, options: TrainingOptions) -> Iterator[str]:
    limit = request["StoppingCondition"]["MaxRuntimeInSeconds"]
    if options.max_wait and not options.spot:
        yield "--max-wait is for --spot: it is the longest wait for spot instances and the job"
    if options.max_wait and options.max_wait < limit:
        yield f"--max-wait {options.max_wait} is less than --max-runtime {limit}: it holds both"
    if options.spot and not options.checkpoints:
        yield "--spot needs --checkpoints, an URI: an interrupted job would begin anew"
    if options.spot and options.keep_alive:
        yield "--keep-alive does not go with --spot: SageMaker keeps no spot instances warm"
    if options.keep_alive > MOST_KEEP_ALIVE:
        yield f"--keep-alive is at most {MOST_KEEP_ALIVE} seconds"
    if bool(options.subnets) != bool(options.security_groups):
        yield "--subnets and --security-groups go together"
    if options.network_isolation and not _brings_model(request):
        yield (
            "--network-isolation: the job could not fetch its pretrained model from the Hub: "
            "give --model (`byoc data model NAME` puts one on S3)"
        )


def _brings_model(request: Request) -> bool:
    channels = {it["ChannelName"] for it in request["InputDataConfig"]}
    named = request["HyperParameters"].get("model-name-or-path", "")
    return "model" in channels or named == "scratch" or named.startswith(("/", "."))
