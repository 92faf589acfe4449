"""All rules by AWS's names: one line each."""

from __future__ import annotations

from byoc.debugger.rules.activations import DeadRelu, SaturatedActivation
from byoc.debugger.rules.base import TensorRule
from byoc.debugger.rules.bottlenecks import CPUBottleneck, IOBottleneck
from byoc.debugger.rules.confusion import Confusion
from byoc.debugger.rules.gpu import BatchSize, GPUMemoryIncrease, LoadBalancing, LowGPUUtilization
from byoc.debugger.rules.gradients import ExplodingTensor, VanishingGradient
from byoc.debugger.rules.initialization import PoorWeightInitialization
from byoc.debugger.rules.labels import ClassImbalance, NLPSequenceRatio
from byoc.debugger.rules.losses import LossNotDecreasing
from byoc.debugger.rules.passes import Overfit, Overtraining
from byoc.debugger.rules.profiler import ProfilerRule
from byoc.debugger.rules.report import ProfilerReport
from byoc.debugger.rules.runs import SimilarAcrossRuns, StalledTrainingRule
from byoc.debugger.rules.steps import (
    MaxInitializationTime,
    OverallFrameworkMetrics,
    OverallSystemUsage,
    StepOutlier,
)
from byoc.debugger.rules.weights import AllZero, TensorVariance, UnchangedTensor, WeightUpdateRatio

TENSOR_RULES: tuple[type[TensorRule], ...] = (
    LossNotDecreasing,
    VanishingGradient,
    Overfit,
    Overtraining,
    PoorWeightInitialization,
    ExplodingTensor,
    SaturatedActivation,
    DeadRelu,
    WeightUpdateRatio,
    AllZero,
    TensorVariance,
    UnchangedTensor,
    ClassImbalance,
    Confusion,
    NLPSequenceRatio,
    SimilarAcrossRuns,
    StalledTrainingRule,
)
PROFILER_RULES: tuple[type[ProfilerRule], ...] = (
    LowGPUUtilization,
    BatchSize,
    CPUBottleneck,
    GPUMemoryIncrease,
    IOBottleneck,
    LoadBalancing,
    OverallSystemUsage,
    MaxInitializationTime,
    OverallFrameworkMetrics,
    StepOutlier,
    ProfilerReport,
)
RULES: dict[str, type[TensorRule] | type[ProfilerRule]] = {
    **{rule.__name__: rule for rule in TENSOR_RULES},
    **{rule.__name__: rule for rule in PROFILER_RULES},
}
