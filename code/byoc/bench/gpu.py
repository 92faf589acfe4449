"""`python -m byoc.bench.gpu`: training and serving on a GPU, beside their peers.

Without Docker, so that it runs where a GPU is lent without an engine: training in this process,
servers as processes of this environment. Peers run in the same call on the same GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from byoc.bench.training import Figure

PARTS = ("train", "outside", "alone", "serve")


class Bench:
    """The parts, each of which gives figures."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        from byoc.bench import training_data

        self.options, self.scratch = options, scratch
        self.source = training_data.find(options.data, scratch)
        self.encoder = scratch / "encoder"
        training_data.write_encoder(self.encoder, self.source, options.model)

    def train(self) -> Iterator[Figure]:
        from byoc.bench.gpu_training import figures

        return figures(self._job("train"), self.scratch)

    def outside(self) -> Iterator[Figure]:
        from byoc.bench.gpu_training import outside

        return outside(self._job("outside"))

    def _job(self, name: str) -> Any:
        from byoc.bench.gpu_training import SETTINGS
        from byoc.bench.training_data import prepared

        channels = {"train": self.source.train, "validation": self.source.validation}
        channels["model"] = self.encoder
        return prepared(self.scratch / name, channels, SETTINGS)

    def alone(self) -> Iterator[Figure]:
        from byoc.bench.gpu_serving import alone

        return alone(self.encoder, self._texts())

    def serve(self) -> Iterator[Figure]:
        from byoc.bench.gpu_serving import figures

        return figures(self.encoder, self._texts(), self.scratch, self.options.seconds)

    def _texts(self) -> list[str]:
        from byoc.bench.training_data import table

        return [row.text for row in table(self.source.train).rows()]


def main() -> int:
    options = _options()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from byoc.training.main import prepare_libraries

    prepare_libraries()
    import torch
    import transformers

    if not torch.cuda.is_available():
        print("byoc.bench.gpu: torch finds no NVIDIA GPU here", file=sys.stderr)
        return 1
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    table = Table("measure", "measured", "must reach", "", title=torch.cuda.get_device_name())
    with tempfile.TemporaryDirectory(prefix="byoc-bench-gpu-") as folder:
        bench = Bench(options, Path(folder))
        print(
            f"{bench.source.told}; DistilBERT's size, random weights; torch {torch.__version__}, "
            f"{os.cpu_count()} cores",
            flush=True,
        )
        for part in options.only:
            for figure in getattr(bench, part)():
                told = {True: "pass", False: "FAIL", None: ""}[figure.passed]
                line = (figure.measure, figure.measured, figure.target, told)
                table.add_row(*line)
                print(f"| {' | '.join(line)} |", flush=True)
    Console(width=150 if not sys.stdout.isatty() else None).print(table)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="byoc.bench.gpu")
    parser.add_argument("--data", type=Path, default=Path("../shared/cola"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="DIR", help="where a tokenizer is")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load on a server")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
