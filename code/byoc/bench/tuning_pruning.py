"""What pruning saves, and what it costs: the same tunings of the embedded data with and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from byoc.bench.training import Figure
from byoc.bench.tuning_runs import Tunings, best
from byoc.tuning.results import TuningResult

LEAST_SAVED = 0.3
MOST_LOST = 0.01


@dataclass(frozen=True)
class Size:
    epochs: int = 8
    trials: int = 12
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)


SHORT = Size(epochs=3, trials=3, seeds=(1,))

EMBEDDED = (
    *("--objective", "val_mcc", "-Hmonitor=val_mcc", "-Hearly-stopping-patience=0"),
    *("--range", "lr=1e-4:1e-2:Logarithmic", "--range", "batch-size=32,64,128"),
    *("--range", "warmup-ratio=0:0.2:Linear"),
)
"""Training's own early stopping would save epochs with and without pruning."""


def figures(tunings: Tunings, size: Size) -> Iterator[Figure]:
    found = {
        strategy: [_tune(tunings, strategy, seed, size) for seed in size.seeds]
        for strategy in ("Bayesian", "Hyperband")
    }
    whole, pruned = found["Bayesian"], found["Hyperband"]
    shares = [saved(result, size.epochs) for result in pruned]
    losses = [best(full) - best(short) for full, short in zip(whole, pruned, strict=True)]
    what = f"{size.trials} trials of {size.epochs} epochs, {len(size.seeds)} seeds"
    yield Figure(
        f"Hyperband: epochs saved, {what}",
        f"{mean(shares):.0%} ({', '.join(f'{share:.0%}' for share in shares)})",
        f">= {LEAST_SAVED:.0%}",
        mean(shares) >= LEAST_SAVED,
    )
    yield Figure(
        "best val_mcc with all epochs, and with pruning",
        "; ".join(f"{best(a):.4f} and {best(b):.4f}" for a, b in zip(whole, pruned, strict=True)),
        f"lower by at most {MOST_LOST}",
        max(losses) <= MOST_LOST,
    )
    took = [sum(mean_seconds(result) for result in results) for results in (whole, pruned)]
    yield Figure("seconds of all trials, pruned over whole", f"{took[1] / took[0]:.0%}")


def _tune(tunings: Tunings, strategy: str, seed: int, size: Size) -> TuningResult:
    return tunings.run(
        f"{strategy.lower()}-{seed}",
        *("--strategy", strategy, "--seed", str(seed), f"-Hseed={seed}"),
        *("--max-jobs", str(size.trials), "--max-parallel", "2", f"-Hepochs={size.epochs}"),
        *EMBEDDED,
    )


def saved(result: TuningResult, epochs: int) -> float:
    """The share of epochs that were never trained. A pruned trial ends within the epoch after the
    last one that it reported: that one counts as trained."""
    trained = [min(epochs, max(it.curve, default=0) + 1) for it in result.trials]
    return 1 - sum(trained) / (epochs * len(trained))


def mean_seconds(result: TuningResult) -> float:
    return mean(trial.seconds(0.0) for trial in result.trials)
