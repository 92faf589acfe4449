"""How fast `train` reads and tokenizes a channel, and in how much memory: each in its own process.

`python -m byoc.bench.training_tokenizing TREE CORES` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from byoc.bench.training_data import base_dir, lay_out, repeat


@dataclass(frozen=True)
class Pass:
    """``reading`` is the first pass (the tables), ``tokenizing`` the second, in seconds;
    ``memory`` the process's peak in bytes, ``imports`` what of it stood before any row."""

    rows: int
    cores: int
    reading: float
    tokenizing: float
    memory: int
    imports: int

    @property
    def rate(self) -> float:
        """Tokenized rows a second."""
        return self.rows / self.tokenizing


def measure(scratch: Path, channels: dict[str, Path], rows: int, cores: int) -> Pass:
    """``rows`` sentences, those of channel train over and over, on ``cores`` cores."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        repeat(channels["train"], rows, Path(folder) / "repeated")
        tree = lay_out(
            Path(folder) / "ml", {**channels, "train": Path(folder) / "repeated"}, HYPERPARAMETERS
        )
        words = [sys.executable, "-m", "byoc.bench.training_tokenizing", str(tree), str(cores)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"tokenizing failed: {done.stderr.strip().splitlines()[-1:]}")
        return Pass(rows=rows, cores=cores, **json.loads(done.stdout))


HYPERPARAMETERS = {"max-length": "256"}


def main() -> None:
    tree, cores = Path(sys.argv[1]), int(sys.argv[2])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from byoc.training import encoder
    from byoc.training.config import parse_hyperparameters
    from byoc.training.sources import read_splits
    from byoc.training.tokens import tokenize

    config = parse_hyperparameters(HYPERPARAMETERS)
    with base_dir(tree):
        source = encoder.source(config)
        tokenizer = encoder.tokenizer(source, config, [])
        imports = _peak()
        start = time.perf_counter()
        splits = read_splits(config)
        read = time.perf_counter()
        tokenize(splits, tokenizer, config.max_length, tree / "prepared")
        end = time.perf_counter()
    found = {"reading": read - start, "tokenizing": end - read, "memory": _peak()}
    print(json.dumps(found | {"imports": imports}))


def _peak() -> int:
    """Bytes. Not getrusage's maximum: that begins with the memory of the process that forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
