"""Which fields of CreateTransformJob a place on this machine honours, ignores or must refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.launch.uris import to_path

_HONOURED = frozenset(
    {
        "TransformJobName",
        "ModelName",
        "BatchStrategy",
        "MaxPayloadInMB",
        "Environment",
        "TransformInput",
        "TransformOutput",
        "TransformResources",
        "DataProcessing",
        "Tags",
    }
)
_WHY = {
    "MaxConcurrentTransforms": "requests go one after the other",
    "ModelClientConfig": "the usual timeout holds, and nothing is tried again",
    "DataCaptureConfig": "nothing is captured",
    "ExperimentConfig": "no experiment is told",
}


def ignored(request: dict[str, Any], where: str, also: frozenset[str] = frozenset()) -> list[str]:
    """One line for each field that has no effect here; ``also`` are honoured besides the usual."""
    names = [name for name in request if name not in _HONOURED | also]
    return [f"--where {where}: {name} has no effect here: {_WHY.get(name, 'ignored')}"
            for name in names]  # fmt: skip


def check(request: dict[str, Any], where: str) -> None:
    """Raises ``LaunchError`` for what would change the result if it were ignored."""
    for fault in _faults(request):
        raise LaunchError(f"--where {where} cannot run this job: {fault}")


def _faults(request: dict[str, Any]) -> Iterator[str]:
    given, wanted = request["TransformInput"], request["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    if source.get("S3DataType", "S3Prefix") != "S3Prefix":
        yield "S3DataType must be S3Prefix"
    if given.get("CompressionType", "None") != "None":
        yield "CompressionType must be None"
    if given.get("SplitType", "None") not in ("None", "Line"):
        yield "SplitType must be None or Line"
    if request["TransformResources"].get("InstanceCount", 1) != 1:
        yield "it runs on one instance only"
    processing = request.get("DataProcessing", {})
    if processing.get("InputFilter", "$") != "$" or processing.get("OutputFilter", "$") != "$":
        yield "DataProcessing's filters are not known here"
    if joins(request) and not (given.get("SplitType") == wanted.get("AssembleWith") == "Line"):
        yield "JoinSource needs SplitType and AssembleWith Line"
    if not input_path(request).exists():
        yield f"there is no file or folder {input_path(request)}"
    to_path(wanted["S3OutputPath"], "S3OutputPath")


def joins(request: dict[str, Any]) -> bool:
    found: bool = request.get("DataProcessing", {}).get("JoinSource", "None") == "Input"
    return found


def input_path(request: dict[str, Any]) -> Path:
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    return to_path(source["S3Uri"], "the transform's input")


def variables(request: dict[str, Any]) -> dict[str, str]:
    """What SageMaker tells a container of batch transform in its environment."""
    words = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}
    found = {"SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in request:
        found["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
    if "BatchStrategy" in request:
        found["SAGEMAKER_BATCH_STRATEGY"] = words[request["BatchStrategy"]]
    if "MaxConcurrentTransforms" in request:
        found["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(request["MaxConcurrentTransforms"])
    found.update(request.get("Environment", {}))
    return found
