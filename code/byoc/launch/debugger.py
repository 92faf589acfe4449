"""Debugging of a training job in its request: our own in the job, or SageMaker Debugger's.

Ours is hyperparameters and works anywhere. SageMaker Debugger (`--managed-debugger`) is closed to
new customers since July 2026; those who have it get DebugHookConfig, ProfilerConfig and AWS's own
rules, which run in AWS's image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.launch.requests import Request

ACCOUNTS = {
    "af-south-1": "314341159256",
    "ap-east-1": "199566480951",
    "ap-northeast-1": "430734990657",
    "ap-northeast-2": "578805364391",
    "ap-northeast-3": "479947661362",
    "ap-south-1": "904829902805",
    "ap-southeast-1": "972752614525",
    "ap-southeast-2": "184798709955",
    "ca-central-1": "519511493484",
    "cn-north-1": "618459771430",
    "cn-northwest-1": "658757709296",
    "eu-central-1": "482524230118",
    "eu-north-1": "314864569078",
    "eu-south-1": "563282790590",
    "eu-west-1": "929884845733",
    "eu-west-2": "250201462417",
    "eu-west-3": "447278800020",
    "me-south-1": "986000313247",
    "sa-east-1": "818342061345",
    "us-east-1": "503895931360",
    "us-east-2": "915447279597",
    "us-gov-west-1": "515509971035",
    "us-west-1": "685455198987",
    "us-west-2": "895741380848",
}
"""Of sagemaker-debugger-rules by region. Source: AWS's page debuger-built-in-registry-ids, and for
the regions that came later the SageMaker SDK's image_uri_config/debugger.json."""

TENSOR_RULES = (
    "LossNotDecreasing",
    "VanishingGradient",
    "Overfit",
    "Overtraining",
    "PoorWeightInitialization",
    "ExplodingTensor",
    "SaturatedActivation",
    "DeadRelu",
    "WeightUpdateRatio",
    "AllZero",
    "TensorVariance",
    "UnchangedTensor",
    "ClassImbalance",
    "Confusion",
    "NLPSequenceRatio",
    "StalledTrainingRule",
)
PROFILER_RULES = (
    "ProfilerReport",
    "LowGPUUtilization",
    "BatchSize",
    "CPUBottleneck",
    "GPUMemoryIncrease",
    "IOBottleneck",
    "LoadBalancing",
    "OverallSystemUsage",
    "MaxInitializationTime",
    "OverallFrameworkMetrics",
    "StepOutlier",
)
MANAGED_DEFAULT = (*TENSOR_RULES[:5], "ProfilerReport")
MOST_RULES = 20
"""Of each of the two lists, by the API."""

_REDUCTIONS = {"reductions": "min,max,mean,std,abs_mean,l2_norm"}
_COLLECTIONS: dict[str, dict[str, str]] = {
    "losses": {},
    "gradients": _REDUCTIONS,
    "weights": _REDUCTIONS,
    "biases": _REDUCTIONS,
    "activations": _REDUCTIONS,
    "predictions": {"save_raw_tensor": "true"},
    "percentiles": {"save_raw_tensor": "true"},
    "updates": {"save_raw_tensor": "true"},
}
_EXPLICIT = {"train.save_interval": "100", "eval.save_interval": "10"}
"""AWS's own rule configurations would save every 500 steps; what a collection says wins."""


def hyperparameters(
    rules: str | None, actions: str | None, given: Mapping[str, str]
) -> dict[str, str]:
    """``given`` with debugging in the job switched on; what ``given`` says itself stays."""
    asked = {"debug": "true", "debug-rules": rules, "debug-actions": actions}
    return {**{name: value for name, value in asked.items() if value is not None}, **given}


def rule_image(region: str) -> str:
    """AWS's image of the built-in rules; raises ``LaunchError`` where a region has none."""
    if region not in ACCOUNTS:
        raise LaunchError(
            f"SageMaker Debugger has no rule image in {region or 'an unknown region'}: it has in "
            f"{', '.join(ACCOUNTS)}; --debug without --managed-debugger needs none"
        )
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{ACCOUNTS[region]}.dkr.ecr.{region}.{domain}/sagemaker-debugger-rules:latest"


def region_of(image: str) -> str:
    """The region in an ECR image's name; empty where there is none."""
    found = re.match(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com", image)
    return found[1] if found else ""


def managed(request: Request, region: str, rules: Iterable[str] = MANAGED_DEFAULT) -> Request:
    """The request with SageMaker Debugger's four fields; raises ``LaunchError`` for rules that AWS
    has not."""
    chosen = list(rules)
    unknown = sorted(set(chosen) - {*TENSOR_RULES, *PROFILER_RULES})
    if unknown:
        raise LaunchError(
            f"SageMaker Debugger has no rule {', '.join(unknown)} that needs no more than its "
            f"name: choose of {', '.join((*TENSOR_RULES, *PROFILER_RULES))}"
        )
    image = rule_image(region)
    output = request["OutputDataConfig"]["S3OutputPath"]
    fields: dict[str, Any] = {
        "DebugHookConfig": {
            "S3OutputPath": output,
            "LocalPath": "/opt/ml/output/tensors",
            "HookParameters": {**_EXPLICIT, "train.save_steps": ",".join(map(str, range(10)))},
            "CollectionConfigurations": [
                {"CollectionName": name, "CollectionParameters": {**_EXPLICIT, **parameters}}
                for name, parameters in _COLLECTIONS.items()
            ],
        },
        "DebugRuleConfigurations": _rules(chosen, TENSOR_RULES, image),
        "ProfilerConfig": {
            "S3OutputPath": output,
            "ProfilingIntervalInMilliseconds": 500,
            "ProfilingParameters": {
                "LocalPath": "/opt/ml/output/profiler/",
                "DetailedProfilingConfig": json.dumps({"StartStep": 10, "NumSteps": 10}),
            },
        },
        "ProfilerRuleConfigurations": _rules(chosen, PROFILER_RULES, image),
    }
    return {**request, **{name: value for name, value in fields.items() if value}}


def _rules(chosen: list[str], kind: tuple[str, ...], image: str) -> list[Request]:
    return [
        {
            "RuleConfigurationName": name,
            "RuleEvaluatorImage": image,
            "RuleParameters": {"rule_to_invoke": name},
        }
        for name in chosen
        if name in kind
    ][:MOST_RULES]
