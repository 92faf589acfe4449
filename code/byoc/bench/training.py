"""`python -m byoc.bench.training`: what training costs, beside its peers and its targets.

Everything is measured on the CPU: peers in the same process, in turns, with the same threads and
in the same precision; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

PARTS = ("speed", "tokens", "tokenizing", "start", "growth", "quality")


@dataclass(frozen=True)
class Figure:
    """A row of the table; ``passed`` is None where nothing is asked, or nothing was measured."""

    measure: str
    measured: str
    target: str = ""
    passed: bool | None = None


class Bench:
    """The parts, each of which gives figures; ``channels``: tables and the encoder."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        from byoc.bench import training_data

        self.options, self.scratch = options, scratch
        self.source = training_data.find(options.data, scratch)
        self.channels = {"train": self.source.train, "validation": self.source.validation}
        training_data.write_encoder(scratch / "encoder", self.source, options.model)
        self.with_encoder = {**self.channels, "model": scratch / "encoder"}

    def speed(self) -> Iterator[Figure]:
        from byoc.bench import training_paths as paths
        from byoc.bench.training_data import prepared
        from byoc.training.config import parse_hyperparameters
        from byoc.training.precision import BF16, FULL, choose

        rounds = self.options.rounds
        settings = {"max-length": "256", "batch-size": "32", "epochs": "100", "precision": "32"}
        job = prepared(self.scratch / "speed", self.with_encoder, settings)
        ways: dict[str, tuple[Any, int]] = {
            "ours": (paths.Ours(job), 16),
            "Trainer": (paths.Peer(job, self.scratch / "trainer"), 6),
            "bf16": (paths.Ours(job, BF16), 16),
            "padded": (paths.CommonRecipe(job), 1),
        }
        runs: dict[str, list[paths.Run]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, (way, steps) in ways.items():
                runs[name].append(way.run(steps, number))
        rates = {name: median(run.rate for run in found) for name, found in runs.items()}

        def gain(name: str) -> float:
            pairs = zip(runs["ours"], runs[name], strict=True)
            return median(ours.rate / peer.rate for ours, peer in pairs)

        for name, told, least in (
            ("padded", f'padding="max_length", {job.length} tokens', 30),
            ("Trainer", "transformers.Trainer, dynamic padding", 1.6),
        ):
            yield Figure(
                f"examples/s in fp32, over {told}",
                f"{gain(name):.1f}x ({rates['ours']:.1f} over {rates[name]:.2f})",
                f">= {least}x",
                gain(name) >= least,
            )
        outside = median(run.outside for run in runs["ours"])
        yield Figure(
            "share of a step outside forward, backward, optimizer",
            f"{outside:.1%}",
            "<= 3%",
            outside <= 0.03,
        )
        auto = choose(parse_hyperparameters({**settings, "precision": "auto"}), paths.load(job))
        best = max(rates["ours"], rates["bf16"])
        taken = rates["bf16"] if auto == BF16 else rates["ours"]
        yield Figure(
            "precision=auto",
            f"takes {auto}; examples/s: {FULL} {rates['ours']:.1f}, {BF16} {rates['bf16']:.1f}",
            "the faster one, or within 10% of it",
            taken >= 0.9 * best,
        )

    def tokens(self) -> Iterator[Figure]:
        from byoc.bench.training_data import prepared
        from byoc.training.data import global_batches

        job = prepared(self.scratch / "tokens", self.with_encoder, {"max-length": "256"})
        lengths = job.tokens()["train"].lengths
        shares = []
        for epoch in range(4):
            batches = global_batches(lengths, 32, 42, epoch)
            computed = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
            shares.append(int(lengths.sum()) / computed)
        yield Figure(
            "real tokens / computed tokens, batch 32, the worst of 4 epochs",
            f"{min(shares):.3f}",
            ">= 0.96",
            min(shares) >= 0.96,
        )

    def tokenizing(self) -> Iterator[Figure]:
        from byoc.bench.training_tokenizing import measure

        cores = len(os.sched_getaffinity(0))
        one = measure(self.scratch, self.with_encoder, 1_000_000, 1)
        small = [measure(self.scratch, self.with_encoder, 100_000, cores) for _ in range(3)]
        large = measure(self.scratch, self.with_encoder, 1_000_000, cores)
        rate = median(run.rate for run in small)
        yield Figure(
            f"tokenizing 1,000,000 sentences, rows/s with 1 and with {cores} cores; with 100,000",
            f"{one.rate:,.0f} and {large.rate:,.0f}; {rate:,.0f}",
            "linear: 1,000,000 at 0.9 of the rate or more",
            large.rate >= 0.9 * rate,
        )
        memory = median(run.memory for run in small)
        yield Figure(
            "peak memory of it, MB: imports, 100,000 rows, 1,000,000 rows",
            f"{large.imports / 1e6:.0f}, {memory / 1e6:.0f}, {large.memory / 1e6:.0f}",
            "flat: within 10%",
            large.memory <= 1.1 * memory,
        )

    def start(self) -> Iterator[Figure]:
        from byoc.bench.training_start import engine_fault, measure

        what = "`docker run` to the first optimizer step, over the bare imports"
        fault = engine_fault(self.options.image)
        if fault:
            yield Figure(what, f"not measured: {fault}", "<= 1.5x")
            return
        found = measure(self.options.image, self.scratch, self.with_encoder, self.options.rounds)
        yield Figure(
            what,
            f"{found.ratio:.2f}x ({found.first_step:.1f} s over {found.imports:.1f} s)",
            "<= 1.5x",
            found.ratio <= 1.5,
        )

    def growth(self) -> Iterator[Figure]:
        from byoc.bench import training_growth

        rows = list(training_growth.by_rows(self.scratch, self.with_encoder, 16))
        lengths = list(training_growth.by_length(self.scratch, self.with_encoder, 16))
        for cost in rows + lengths:
            what = f"rows of {cost.length} tokens" if cost.length else "rows"
            yield Figure(
                f"an epoch of {cost.rows:,} {what}",
                f"{cost.seconds:,.0f} s, extrapolated: {cost.steps} of {cost.epoch_steps:,} steps",
            )
        training_growth.plot(rows, lengths, self.options.plot)
        print(f"plot: {self.options.plot}", flush=True)

    def quality(self) -> Iterator[Figure]:
        from byoc.bench.training_quality import HYPERPARAMETERS, ROWS, SEEDS, Quality

        what = (
            f"validation MCC by length over random batches, {ROWS:,} rows, "
            f"{HYPERPARAMETERS['epochs']} epochs, {len(SEEDS)} seeds"
        )
        target = "not lower by more than 0.02"
        if self.options.model is None:
            yield Figure(what, "not measured: give a pretrained encoder with --model DIR", target)
            return
        channels = {**self.channels, "model": self.options.model}
        kept = self.options.out / "quality.json"
        told = f"{self.source.told}, {self.options.model.resolve()}"
        found = Quality(self.scratch, channels, kept, told)
        found.measure()
        by_length, random = found.means
        yield Figure(
            what,
            f"{found.text('by length')} over {found.text('random')}",
            target,
            by_length >= random - 0.02,
        )


def main() -> int:
    options = _options()
    # The targets here are a CPU's, and Lightning would take a GPU by itself.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from byoc.training.main import prepare_libraries

    prepare_libraries()  # what `train` sets for torch; the peers have it too
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console(width=150 if not sys.stdout.isatty() else None)
    table = Table("measure", "measured", "must reach", "", title="training")
    with tempfile.TemporaryDirectory(prefix="byoc-bench-train-") as folder:
        bench = Bench(options, Path(folder))
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(
            f"{bench.source.told}; DistilBERT's size, random weights; {torch.get_num_threads()} "
            f"threads; load average before: {load}",
            flush=True,
        )
        for part in options.only:
            for figure in getattr(bench, part)():
                told = {True: "pass", False: "FAIL", None: ""}[figure.passed]
                table.add_row(figure.measure, figure.measured, figure.target, told)
                line = (figure.measure, figure.measured, figure.target, told)
                print(" | ".join(filter(None, line)), flush=True)
    console.print(table)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="byoc.bench.training")
    parser.add_argument("--data", type=Path, default=Path("../shared/cola"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a pretrained encoder")
    parser.add_argument(
        "--image", default=f"byoc-training:{os.environ.get('ACCELERATOR') or 'cpu'}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(tempfile.gettempdir()) / "byoc-bench-train",
        metavar="DIR",
        help="the plot, and what a run that is started again need not measure again",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.plot = options.plot or options.out / "training-cost.png"
    return options


if __name__ == "__main__":
    sys.exit(main())
