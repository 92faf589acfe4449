"""What the tuner itself costs, and how parallel trials should share a machine's cores.

Both are times: figures of a machine that does nothing else. Each round's are kept in a JSON file,
so that a run that was cut short goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from byoc.bench.training import Figure
from byoc.bench.training_data import lay_out
from byoc.bench.tuning_runs import Tunings
from byoc.contract import BASE_DIR_VARIABLE
from byoc.cores import available_cores
from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus

MOST_OVERHEAD = 1.05
KEPT = "costs.json"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Size:
    trials: int = 4
    rounds: int = 3
    epochs: int = 8


SHORT = Size(trials=2, rounds=1, epochs=1)


class Costs:
    def __init__(self, tunings: Tunings, size: Size) -> None:
        self._tunings, self._size = tunings, size
        self._corpus = tunings.out / "embedded"
        write_corpus(self._corpus)
        self._pairs = {**EMBEDDED_HYPERPARAMETERS, "epochs": str(size.epochs)}
        self._pairs["early-stopping-patience"] = "0"

    def overhead(self) -> Iterator[Figure]:
        """The same jobs, one after the other: as trials, and as bare runs of `train`."""
        ways = {"tuned": self._tuned, "bare": self._bare}
        seconds = self._in_turns("overhead", ways)
        ratio = median(a / b for a, b in zip(seconds["tuned"], seconds["bare"], strict=True))
        yield Figure(
            f"`byoc tune` of {self._size.trials} trials one after the other, over as many bare "
            "runs of `train`",
            f"{ratio:.3f}x ({median(seconds['tuned']):.1f} s over {median(seconds['bare']):.1f} s)",
            f"<= {MOST_OVERHEAD}x",
            ratio <= MOST_OVERHEAD,
        )

    def threads(self) -> Iterator[Figure]:
        """The tuner gives each of P parallel trials cores / P threads: is that the best?"""
        cores = available_cores()
        shares = [(count, cores // count) for count in _divisors(cores)]
        wide = [(count, cores) for count in _divisors(cores) if count > 1]
        ways = {
            f"{count} x {threads}": self._shared(count, threads)
            for count, threads in [*shares, *wide]
        }
        seconds = self._in_turns("threads", ways)
        rates = {name: 3600 * self._trials / median(found) for name, found in seconds.items()}
        for name, rate in rates.items():
            yield Figure(f"trials per hour, parallel x threads: {name}", f"{rate:.0f}")
        if not wide:
            return
        best = max(rates, key=lambda name: rates[name])
        chosen = {f"{count} x {threads}" for count, threads in shares}
        yield Figure(
            "the best of them", best, "one where threads = cores / parallel", best in chosen
        )

    @property
    def _trials(self) -> int:
        """As many as keep every core busy to the end."""
        cores = available_cores()
        return cores * -(-self._size.trials // cores)

    # -- the ways

    def _tuned(self, round_: int) -> float:
        return self._tune(f"overhead-{round_}", self._size.trials, 1, available_cores())

    def _shared(self, parallel: int, threads: int) -> Callable[[int], float]:
        def run(round_: int) -> float:
            name = f"threads-{parallel}-{threads}-{round_}"
            return self._tune(name, self._trials, parallel, threads)

        return run

    def _tune(self, name: str, trials: int, parallel: int, threads: int) -> float:
        # One that was cut short would be gone on with, and its time be too short.
        shutil.rmtree(self._tunings.out / "tune" / name, ignore_errors=True)
        for job in (self._tunings.out / "state").glob(f"*/{name}-*"):
            shutil.rmtree(job)
        return self._tunings.call(
            name,
            *("--train", str(self._corpus / "train")),
            *("--validation", str(self._corpus / "validation")),
            *("--objective", "val_mcc", "--strategy", "Grid", "--max-parallel", str(parallel)),
            *("--range", "seed=" + ",".join(map(str, range(1, trials + 1)))),
            *(f"-H{key}={value}" for key, value in self._pairs.items()),
            f"-E{THREADS}={threads}",
        )

    def _bare(self, round_: int) -> float:
        channels = {name: self._corpus / name for name in ("train", "validation")}
        trees = []
        for seed in range(1, self._size.trials + 1):
            tree = self._tunings.out / "bare" / f"{round_}-{seed}"
            shutil.rmtree(tree, ignore_errors=True)
            trees.append(lay_out(tree, channels, {**self._pairs, "seed": str(seed)}))
        started = time.monotonic()
        for tree in trees:
            _train(tree)
        seconds = time.monotonic() - started
        shutil.rmtree(self._tunings.out / "bare")
        return seconds

    def _in_turns(
        self, part: str, ways: Mapping[str, Callable[[int], float]]
    ) -> dict[str, list[float]]:
        """Seconds of each way in each round."""
        kept = self._tunings.out / KEPT
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        found: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(self._size.rounds):
            for name, way in ways.items():
                key = f"{part} {self._size} {name} {round_}"
                if key not in known:
                    known[key] = way(round_)
                    partial = kept.with_suffix(".tmp")
                    partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
                    partial.replace(kept)
                found[name].append(known[key])
        return found


def _divisors(number: int) -> list[int]:
    return [it for it in range(1, number + 1) if number % it == 0]


def _train(tree: Path) -> None:
    """Raises ``CalledProcessError`` where it fails; its log lies in the tree."""
    environment = {**os.environ, BASE_DIR_VARIABLE: str(tree), THREADS: str(available_cores())}
    with (tree / "log").open("w", encoding="utf-8") as log:
        program = Path(sys.executable).with_name("train")
        subprocess.run([program], env=environment, stdout=log, stderr=log, check=True, cwd=tree)
