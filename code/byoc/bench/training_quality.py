"""Whether batches of similar lengths train as well as random ones: whole jobs, some seeds of each.

Every job's result is kept in a JSON file, so that a run that was cut short goes on.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.bench.training_data import base_dir, prepared, table, write_table
from byoc.training import data, fit
from byoc.training.place import Place
from byoc.training.stopping import StopRequest

SEEDS = (1, 2, 3)
ROWS = 2000
HYPERPARAMETERS = {
    "epochs": "3",
    "lr": "1e-4",
    "max-length": "256",
    "precision": "32",
    "early-stopping-patience": "0",
}
ORDERS = ("by length", "random")


def random_batches(
    lengths: npt.NDArray[np.int32], batch_size: int, seed: int, epoch: int
) -> list[data.Rows]:
    """`data.global_batches` without regard to length."""
    order = np.random.default_rng((seed, epoch)).permutation(len(lengths))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


class Quality:
    """The best validation MCC of each job, by order and seed."""

    def __init__(self, scratch: Path, channels: Mapping[str, Path], kept: Path, told: str) -> None:
        self._scratch, self._channels, self._kept, self._told = scratch, channels, kept, told
        self.found: dict[str, dict[int, float]] = {order: {} for order in ORDERS}

    def measure(self) -> None:
        for seed in SEEDS:
            for order in ORDERS:
                self.found[order][seed] = self._known(order, seed)

    @property
    def means(self) -> tuple[float, float]:
        """(by length, random)"""
        by_length, random = (mean(self.found[order].values()) for order in ORDERS)
        return by_length, random

    def text(self, order: str) -> str:
        values = list(self.found[order].values())
        return f"{mean(values):.3f} ± {stdev(values):.3f}"

    def _known(self, order: str, seed: int) -> float:
        results: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError):
            results = json.loads(self._kept.read_text(encoding="utf-8"))
        key = f"{self._told} {ROWS} {json.dumps(HYPERPARAMETERS)} {order} {seed}"
        if key not in results:
            results[key] = self._train(order, seed)
            temporary = self._kept.with_suffix(".tmp")
            temporary.write_text(json.dumps(results, indent=1), encoding="utf-8")
            temporary.rename(self._kept)
        return results[key]

    def _train(self, order: str, seed: int) -> float:
        rows = list(table(self._channels["train"]).rows())
        picked = np.random.default_rng(0).permutation(len(rows))[:ROWS]
        folder = self._scratch / f"quality-{order[:2]}-{seed}"
        write_table(folder / "rows", ((rows[row].text, rows[row].label) for row in picked))
        channels = {**self._channels, "train": folder / "rows"}
        job = prepared(folder / "ml", channels, {**HYPERPARAMETERS, "seed": str(seed)})
        log = folder / "log"
        with (
            base_dir(folder / "ml"),
            log.open("w", encoding="utf-8") as stream,
            contextlib.redirect_stdout(stream),
            _order(order),
        ):
            metrics: dict[str, Any] = fit.train(job, StopRequest(), Place())
        shutil.rmtree(folder)
        return float(metrics["val_mcc"])


@contextlib.contextmanager
def _order(name: str) -> Iterator[None]:
    ours = data.global_batches
    if name == "random":
        data.global_batches = random_batches
    try:
        yield
    finally:
        data.global_batches = ours
