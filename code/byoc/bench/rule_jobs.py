"""The jobs that tell whether rules are true: healthy ones, and ones with a planted fault."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from byoc.debugger.rules.weights import MATRICES

Model = Literal["tiny", "minilm", "stack"]
TUNING = 1000
"""The seed of the runs on which thresholds were fixed; no such run is reported."""

AWS_PARAMETERS: dict[str, dict[str, Any]] = {
    "AllZero": {"tensor_regex": MATRICES},
    "DeadRelu": {"tensor_regex": ".*relu.*_output"},
    "NLPSequenceRatio": {"tensor_regex": "^input_ids$"},
    "SaturatedActivation": {"tensor_regex": ".*tanh.*_input,.*sigmoid.*_input"},
    "TensorVariance": {"collection_names": "weights", "max_threshold": 25},
    "UnchangedTensor": {"collection_names": "weights"},
}
"""What AWS wants to be told: these rules look at nothing by default, or at names that PyTorch's
hook does not give."""


SECONDS: dict[str, dict[str, Any]] = {
    "StalledTrainingRule": {"threshold": 30},
    "MaxInitializationTime": {"threshold": 0.75},
}
"""With both sets, for all jobs of small models: half a minute stands for half an hour."""


@dataclass(frozen=True)
class Job:
    """One training. ``fault``: of ``byoc.bench.rule_faults``; empty: healthy. ``rules``: all of
    them must fire, with both parameter sets."""

    name: str
    seed: int
    fault: str = ""
    rules: tuple[str, ...] = ()
    model: Model = "tiny"
    data: Literal["corpus", "cola"] = "corpus"
    rows: int = 2400
    config: dict[str, Any] = field(default_factory=dict)
    gpus: tuple[tuple[float, float], ...] = ()
    """(utilization, memory) in per cent of each GPU that a stand-in for NVML tells of."""
    sampling_ms: int = 500
    other: str = ""
    """The name of the job, with the same seed, that SimilarAcrossRuns compares this one with."""

    @property
    def is_healthy(self) -> bool:
        return not self.fault

    @property
    def key(self) -> str:
        return f"{self.name}-{self.seed}"


TINY: dict[str, Any] = {"epochs": 8, "lr": 1e-3, "batch_size": 64, "max_length": 32}
MINILM: dict[str, Any] = {"epochs": 3, "lr": 5e-5, "batch_size": 32, "max_length": 64}


def jobs(tuning: bool = False) -> list[Job]:
    """All of them. ``tuning``: one of each kind, for fixing thresholds, with a seed of its own."""
    found = [*_healthy(), *_faults()]
    if not tuning:
        return found
    return [replace(job, seed=TUNING) for job in found if not job.seed]


def _healthy() -> list[Job]:
    found = [
        _minilm(f"minilm-{lr:g}", seed, lr=lr)
        for lr, seeds in ((2e-5, 4), (5e-5, 3), (1e-4, 3))
        for seed in range(seeds)
    ]
    found += [
        _tiny(f"scratch-{lr:g}", seed, lr=lr) for lr in (5e-4, 1e-3, 2e-3) for seed in range(5)
    ]
    found += [
        _tiny("scratch-small-batch", 0, batch_size=16, epochs=4),
        _tiny("scratch-accumulated", 0, gradient_accumulation_steps=2),
        _tiny("scratch-smoothed", 0, label_smoothing=0.1),
        _tiny("scratch-bf16", 0, precision="bf16"),
        replace(_tiny("scratch-again", 0), other="scratch-0.001"),
        _gpu("gpu-busy", 0, "", (), ((93, 62),)),
        _gpu("gpus-busy", 0, "", (), ((93, 62), (91, 60))),
    ]
    return found


def _faults() -> list[Job]:
    tiny: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("lr-0", ("LossNotDecreasing", "UnchangedTensor", "WeightUpdateRatio"), {"lr": 0.0}),
        ("lr-1000", ("ExplodingTensor", "TensorVariance"), {"lr": 1e3}),
        ("zero-weights", ("PoorWeightInitialization", "AllZero"), {}),
        ("wide-weights", ("PoorWeightInitialization", "TensorVariance"), {}),
        ("one-class", ("ClassImbalance",), {}),
        ("shuffled-labels", ("Confusion",), {"epochs": 10}),
        ("frozen-layer", ("UnchangedTensor",), {}),
        ("sleeping-loader", ("IOBottleneck",), {"epochs": 3}),
        ("slow-steps", ("StepOutlier",), {"epochs": 14}),
        ("padding", ("NLPSequenceRatio",), {"epochs": 3, "max_length": 64}),
    ]
    found = [
        _tiny(fault, seed, fault, rules, **config)
        for fault, rules, config in tiny
        for seed in range(2)
    ]
    found += [
        _tiny("stall", 0, "stall", ("StalledTrainingRule",), epochs=2),
        _tiny("late-start", 0, "late-start", ("MaxInitializationTime",), epochs=2),
        replace(
            _tiny("other-order", 0, "other-order", ("SimilarAcrossRuns",)), other="scratch-0.001"
        ),
        _tiny("memorizing", 0, "few-rows", ("Overfit",), 32, epochs=50, batch_size=8),
        _minilm("memorizing-minilm", 0, "few-rows", ("Overfit",), 32, epochs=50, batch_size=8),
        _tiny("gone-on", 0, "gone-on", ("Overtraining",), 300, epochs=25, batch_size=32),
        _minilm("gone-on-minilm", 0, "gone-on", ("Overtraining",), 300, epochs=12, lr=1e-4),
        _minilm("lr-0-minilm", 0, "lr-0", ("LossNotDecreasing", "UnchangedTensor"), lr=0.0),
        _minilm("wide-weights-minilm", 0, "wide-weights", ("PoorWeightInitialization",), 500),
        _minilm(
            "shuffled-labels-minilm", 0, "shuffled-labels", ("Confusion",), 400, epochs=8, lr=2e-4
        ),
    ]
    for fault, rule in (
        ("sigmoid", "VanishingGradient"),
        ("tanh", "SaturatedActivation"),
        ("relu", "DeadRelu"),
    ):
        found += [
            Job(fault, seed, fault, (rule,), "stack", config={**TINY, "epochs": 3})
            for seed in range(2)
        ]
    found += [_gpu("leak", seed, "leak", ("GPUMemoryIncrease",), ((93, 20),)) for seed in range(2)]
    found += [
        _gpu("gpu-idle", 0, "gpu-idle", ("LowGPUUtilization", "BatchSize"), ((20, 15),)),
        _gpu("gpus-unequal", 0, "gpus-unequal", ("LoadBalancing",), ((95, 60), (30, 60))),
        _gpu("cpu-bound", 0, "cpu-bound", ("CPUBottleneck",), ((3, 60),), sampling_ms=100),
    ]
    return found


def _tiny(
    name: str,
    seed: int,
    fault: str = "",
    rules: tuple[str, ...] = (),
    rows: int = 2400,
    **config: Any,
) -> Job:
    return Job(name, seed, fault, rules, rows=rows, config={**TINY, **config})


def _minilm(
    name: str,
    seed: int,
    fault: str = "",
    rules: tuple[str, ...] = (),
    rows: int = 1200,
    **config: Any,
) -> Job:
    return Job(name, seed, fault, rules, "minilm", "cola", rows, {**MINILM, **config})


def _gpu(
    name: str,
    seed: int,
    fault: str,
    rules: tuple[str, ...],
    gpus: tuple[tuple[float, float], ...],
    sampling_ms: int = 20,
) -> Job:
    return Job(name, seed, fault, rules, config=TINY, gpus=gpus, sampling_ms=sampling_ms)
