"""How long `byoc data explore` takes over a large table, and in how much memory.

    python -m byoc.bench.data [--rows N] [--model FOLDER]

The rows are made up of seeded words; the exploration is that of a process of its own, on two cores.
Exit: 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from random import Random

SECONDS, MEMORY = 60.0, 1e9
ROWS = 1_000_000
CORES = 2
POLL = 0.1
_WORDS = 20_000
_SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--model", default="scratch", help="whose word pieces; scratch: learned")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the limit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        make(Path(name), given.rows)
        return _explore(Path(name), given)


def make(folder: Path, rows: int) -> None:
    """train and validation, nine to one, as Parquet files of sentences and labels."""
    import pyarrow
    from pyarrow import parquet

    random = Random(0)  # noqa: S311
    sentences = _sentences(random)
    for split, count in (("train", rows - rows // 10), ("validation", rows // 10)):
        (folder / split).mkdir()
        schema = pyarrow.schema([("sentence", pyarrow.string()), ("label", pyarrow.int64())])
        with parquet.ParquetWriter(folder / split / f"{split}.parquet", schema) as writer:
            for start in range(0, count, 10_000):
                texts = list(islice(sentences, min(10_000, count - start)))
                labels = [int(random.random() < 0.7) for _ in texts]
                writer.write_table(pyarrow.table([texts, labels], schema=schema))


def _sentences(random: Random) -> Iterator[str]:
    """4 to 16 words each, about as long as CoLA's; a word's frequency falls with its rank, as in a
    language."""
    words = ["".join(random.choices(_SYLLABLES, k=random.randint(1, 4))) for _ in range(_WORDS)]
    weights = list(accumulate(1 / rank for rank in range(1, _WORDS + 1)))
    while True:
        text = " ".join(random.choices(words, cum_weights=weights, k=random.randint(4, 16)))
        yield f"{text.capitalize()}."


def _explore(folder: Path, given: argparse.Namespace) -> int:
    """Runs the program and prints one line."""
    program = Path(sys.executable).with_name("byoc")
    page = folder / "explore.html"
    command = [str(program), "data", "explore", str(folder), "--model", given.model]
    command += ["--output", str(page)]
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    before = os.times()
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_peak, _tree(process.pid))))
        time.sleep(POLL)
    seconds = time.monotonic() - started
    after = os.times()
    if process.returncode:
        print("byoc data explore failed", file=sys.stderr)
        return 1
    busy = after.children_user + after.children_system
    busy -= before.children_user + before.children_system
    print(
        f"explore: {given.rows:,} rows in {seconds:.1f} s (limit {given.seconds:.0f}), "
        f"{busy:.1f} s of CPU on {len(cores)} cores; {peak / 1e6:.0f} MB (limit "
        f"{MEMORY / 1e6:.0f}); load {os.getloadavg()[0]:.1f}"
    )
    return int(seconds > given.seconds or peak > MEMORY)


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _peak(pid: int) -> int:
    """Bytes; 0 where the process has gone. Not getrusage's maximum: that begins with the memory of
    the process that forked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) * 1024 if found else 0


if __name__ == "__main__":
    sys.exit(main())
