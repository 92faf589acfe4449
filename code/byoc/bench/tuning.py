"""`make bench-tuning`: is tuning worth it, what does pruning save, what does the tuner cost.

    python -m byoc.bench.tuning [--data DIR --model DIR] [--out DIR] [--only PART …] [--short]

Everything is kept in OUT: killed at any moment, the same command goes on. ``worth`` and
``pruning`` are figures of models, which a busy machine does not change; ``overhead`` and
``threads`` are times. Exits 1 where a figure misses what it must reach.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from byoc.bench import tuning_costs, tuning_pruning, tuning_worth
from byoc.bench.training import Figure
from byoc.bench.tuning_runs import Tunings
from byoc.cores import available_cores

PARTS = ("overhead", "threads", "pruning", "worth")


def main() -> int:
    options = _options()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    console = Console(width=150 if not sys.stdout.isatty() else None)
    table = Table("measure", "measured", "must reach", "", title="tuning")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{available_cores()} cores; load average before: {load}", flush=True)
    passed = True
    for part in options.only:
        for figure in _figures(part, options):
            told = {True: "pass", False: "FAIL", None: ""}[figure.passed]
            passed = passed and figure.passed is not False
            line = (figure.measure, figure.measured, figure.target, told)
            table.add_row(*line)
            print(" | ".join(filter(None, line)), flush=True)
    console.print(table)
    return 0 if passed else 1


def _figures(part: str, options: argparse.Namespace) -> Iterator[Figure]:
    short = options.short
    tunings = Tunings(options.out.absolute() / ("short" if short else "long"))
    if part in ("overhead", "threads"):
        size = tuning_costs.SHORT if short else tuning_costs.Size()
        tunings.out.mkdir(parents=True, exist_ok=True)
        yield from getattr(tuning_costs.Costs(tunings, size), part)()
    elif part == "pruning":
        few = tuning_pruning.SHORT if short else tuning_pruning.Size()
        yield from tuning_pruning.figures(tunings, few)
    elif options.data is None or options.model is None:
        yield Figure("is tuning worth it?", "not measured: give DATA= and MODEL=")
    else:
        worth = tuning_worth.SHORT if short else tuning_worth.Size()
        yield from tuning_worth.Worth(tunings, options.data, options.model, worth).figures()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="byoc.bench.tuning")
    parser.add_argument("--data", type=Path, metavar="DIR", help="CoLA's two files")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a pretrained encoder")
    parser.add_argument("--out", type=Path, default=Path("out/bench-tuning"), metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--short", action="store_true", help="that it runs; no figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
