"""Is tuning worth it? TPE against the defaults, the first use's best and a random search.

The best of twelve trials is the best on the validation set by luck too. So each tuning's best is
trained once more with a seed that no trial had, and so are the two fixed settings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from byoc.bench.training import Figure
from byoc.bench.tuning_runs import Tunings, best
from byoc.tuning.results import TuningResult

STRATEGIES = {"TPE": "Bayesian", "random search": "Random"}
FIXED: dict[str, dict[str, str]] = {
    "the defaults (batch 32, lr 5e-5)": {},
    "the first use's best (batch 64, lr 1.557e-4)": {"batch-size": "64", "lr": "1.557e-4"},
}
AGAIN = 100
"""What is added to a seed for the training that no trial has had."""


@dataclass(frozen=True)
class Size:
    rows: int = 2000
    epochs: int = 4
    trials: int = 12
    seeds: tuple[int, ...] = (1, 2)


SHORT = Size(rows=200, epochs=1, trials=3, seeds=(1,))


class Worth:
    """``data``: a folder with CoLA's two files; ``model``: a pretrained encoder."""

    def __init__(self, tunings: Tunings, data: Path, model: Path, size: Size) -> None:
        self._tunings, self._model, self._size = tunings, model, size
        self._channels = cut(data, tunings.out / f"cola-{size.rows}", size.rows)

    def figures(self) -> Iterator[Figure]:
        size = self._size
        found = {name: self._searches(name) for name in STRATEGIES}
        found |= {name: self._trained(fixed) for name, fixed in FIXED.items()}
        ours, *others = found.items()
        what = f"best val_mcc of {ours[0]}, {size.trials} trials of {size.epochs} epochs, over "
        for name, values in others:
            gain = mean(ours[1][0]) - mean(values[0])
            yield Figure(
                what + name,
                f"{_text(ours[1][0])} over {_text(values[0])}: {gain:+.3f}",
                "more",
                gain > 0,
            )
        for name, values in found.items():
            yield Figure(f"the same setting with another seed: {name}", _text(values[1]))

    def _searches(self, name: str) -> tuple[list[float], list[float]]:
        """By seed: the best value, and that of its setting with another seed."""
        bests = [self._search(name, seed) for seed in self._size.seeds]
        again = [
            self._seeds(f"{_short(name)}-{seed}-again", _tuned(result), [seed + AGAIN])[0]
            for seed, result in zip(self._size.seeds, bests, strict=True)
        ]
        return [best(result) for result in bests], again

    def _search(self, name: str, seed: int) -> TuningResult:
        return self._tunings.run(
            f"{_short(name)}-{seed}",
            *("--preset", "cola-mcc", "--strategy", STRATEGIES[name], "--early-stopping", "Off"),
            # The preset's own range ends at 1e-4, below the first use's best.
            *("--range", "lr=2e-5:5e-4:Logarithmic", f"-Hseed={seed}", "--seed", str(seed)),
            *("--max-jobs", str(self._size.trials), "--max-parallel", "2"),
            *self._common(),
        )

    def _trained(self, fixed: dict[str, str]) -> tuple[list[float], list[float]]:
        seeds = self._size.seeds
        name = "first-use" if fixed else "defaults"
        found = self._seeds(name, fixed, [*seeds, *(seed + AGAIN for seed in seeds)])
        return found[: len(seeds)], found[len(seeds) :]

    def _seeds(self, name: str, values: dict[str, str], seeds: Sequence[int]) -> list[float]:
        """val_mcc of a setting, by seed: a grid of seeds is a tuning as well."""
        result = self._tunings.run(
            name,
            *("--objective", "val_mcc", "--strategy", "Grid", "--max-parallel", "1"),
            *("--range", "seed=" + ",".join(map(str, seeds))),
            *(f"-H{key}={value}" for key, value in values.items()),
            *self._common(),
        )
        by_seed = {int(trial.values["seed"]): trial.value for trial in result.trials if trial.value}
        return [by_seed[seed] for seed in seeds]

    def _common(self) -> list[str]:
        channels = [part for name, path in self._channels.items() for part in (name, str(path))]
        # precision=auto measures, and a busy machine may choose otherwise.
        pairs = [f"-Hepochs={self._size.epochs}", "-Hmonitor=val_mcc", "-Hprecision=32"]
        return [*channels, "--model", str(self._model), *pairs]


def cut(data: Path, folder: Path, rows: int) -> dict[str, Path]:
    """CoLA's first ``rows`` training rows and its in_domain_dev, by `byoc tune`'s flags."""
    parts = {"train": ("in_domain_train.tsv", rows), "validation": ("in_domain_dev.tsv", None)}
    found = {}
    for channel, (name, most) in parts.items():
        target = found[f"--{channel}"] = folder / channel
        target.mkdir(parents=True, exist_ok=True)
        with (data / name).open(encoding="utf-8") as stream:
            text = "".join(itertools.islice(stream, most))
        (target / name).write_text(text, encoding="utf-8")
    return found


def _tuned(result: TuningResult) -> dict[str, str]:
    return dict(result.best.values) if result.best else {}


def _short(name: str) -> str:
    return name.split()[0].lower()


def _text(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"
