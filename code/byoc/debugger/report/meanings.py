"""What each rule looks for and what to do when it fires, and in which section it belongs.

Names as AWS has them. A finding's own advice, with its numbers, comes from the rule.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    looks_for: str
    do: str
    section: str = "rules"


MEANINGS: dict[str, Meaning] = {
    "LossNotDecreasing": Meaning(
        "a loss that no longer falls",
        "Change the learning rate; see whether labels and data are right.",
        "curves",
    ),
    "VanishingGradient": Meaning(
        "gradients so small that layers do not learn",
        "Another activation or initialization, normalization, residual connections.",
        "gradients",
    ),
    "ExplodingTensor": Meaning(
        "values that are NaN or infinite",
        "A lower learning rate, gradient clipping, bf16 in place of fp16.",
        "gradients",
    ),
    "Overfit": Meaning(
        "a validation loss that is far above the training loss",
        "Fewer epochs, more data, dropout, weight decay.",
        "curves",
    ),
    "Overtraining": Meaning(
        "training that goes on after the losses have stopped improving",
        "Stop earlier: early-stopping-patience, or fewer epochs.",
        "curves",
    ),
    "PoorWeightInitialization": Meaning(
        "layers whose weights, or whose gradients, start out of proportion",
        "Another initialization, or start from a pretrained encoder.",
        "gradients",
    ),
    "SaturatedActivation": Meaning(
        "activations at the flat ends of tanh or sigmoid",
        "Another initialization, smaller inputs, another activation.",
    ),
    "DeadRelu": Meaning(
        "ReLUs that put out nothing but 0", "A lower learning rate, or a leaky activation."
    ),
    "WeightUpdateRatio": Meaning(
        "steps that are too large, or too small, for their weights",
        "Lower, or raise, the learning rate.",
        "gradients",
    ),
    "AllZero": Meaning(
        "tensors that are all 0", "See whether the layer is used and its weights were loaded."
    ),
    "TensorVariance": Meaning(
        "tensors whose variance is very high or very low", "Another initialization; normalization."
    ),
    "UnchangedTensor": Meaning(
        "tensors that stay the same from step to step",
        "See whether the parameter is frozen and given to the optimizer.",
    ),
    "ClassImbalance": Meaning(
        "labels of very different frequency",
        "class-weights=balanced, or sample the rare ones more.",
    ),
    "Confusion": Meaning(
        "classes that are taken for each other, or validation predicted by chance",
        "More examples of them; look at their labels.",
    ),
    "NLPSequenceRatio": Meaning(
        "batches in which certain tokens, padding among them, have an odd share",
        "Length bucketing; a max-length that suits the texts.",
        "padding",
    ),
    "SimilarAcrossRuns": Meaning(
        "tensors that differ from those of another run", "See what changed between the runs."
    ),
    "StalledTrainingRule": Meaning(
        "a job that has stopped saving", "Look for a deadlock, a full disk, a lost process."
    ),
    "ProfilerReport": Meaning("all profiler rules, in one report", "See the sections below."),
    "LowGPUUtilization": Meaning(
        "a GPU that is under-used, or that works and waits in turn",
        "Larger batches, faster data loading, a smaller instance.",
        "gpu_utilization",
    ),
    "BatchSize": Meaning(
        "CPUs, GPUs and GPU memory that are all under-used",
        "A larger batch, or a smaller instance.",
        "batch_size",
    ),
    "CPUBottleneck": Meaning(
        "GPUs that wait while the CPUs are busy",
        "Prepare data before training, more loader processes, more cores for each GPU.",
        "cpu_bottlenecks",
    ),
    "IOBottleneck": Meaning(
        "GPUs that wait for disk or network",
        "Faster storage, fewer and larger files, loading ahead.",
        "io_bottlenecks",
    ),
    "LoadBalancing": Meaning(
        "devices that work much more than others",
        "Batches of like size for each process.",
        "load_balancing",
    ),
    "GPUMemoryIncrease": Meaning(
        "GPU memory that keeps growing",
        "Look for tensors that are kept: losses without .item(), lists of outputs.",
        "gpu_memory",
    ),
    "StepOutlier": Meaning(
        "steps that take much longer than the others",
        "Look at the timeline there: checkpoints, late data, other programs.",
        "steps",
    ),
    "MaxInitializationTime": Meaning(
        "a long time before the first step",
        "Smaller downloads, FastFile, prepared data.",
        "job",
    ),
    "OverallSystemUsage": Meaning(
        "nothing; it sums the system metrics up", "See section 2.", "system"
    ),
    "OverallFrameworkMetrics": Meaning(
        "nothing; it sums the framework's time up", "See section 3.", "framework"
    ),
}


def meaning_of(rule: str) -> Meaning:
    """Of a user's own rule: none, so that its own words stand alone."""
    return MEANINGS.get(rule, Meaning("", ""))
