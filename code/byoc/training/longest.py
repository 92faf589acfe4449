"""`python -m byoc.training.longest`: tokenizes a job's data and says how long its inputs are.

Runs in a training job's place, on the same tree. A tuner asks before it spends anything: a
max-length above the longest input changes nothing, because batches are padded to their own longest
text. Where jobs share their tokens, they are made here, once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from byoc import contract
from byoc.training import platform
from byoc.training.config import parse_hyperparameters
from byoc.training.faults import TrainingFault
from byoc.training.main import prepare_libraries
from byoc.training.sources import read_splits

LINE = "longest input: "


def main() -> None:
    """Exit code 1 and output/failure as `train` has them, where the data or the model are bad."""
    try:
        config = parse_hyperparameters(platform.read_hyperparameters())
        splits = read_splits(config)
        prepare_libraries()
        from byoc.training.prepare import prepare

        with tempfile.TemporaryDirectory(prefix="byoc-") as folder:
            prepared = prepare(config, splits, Path(folder))
            longest = max(int(it.lengths.max()) for it in prepared.tokens().values())
    except TrainingFault as fault:
        contract.write_failure(f"{fault}\n")
        print(f"train: {fault}", file=sys.stderr, flush=True)
        sys.exit(1)
    print(f"{LINE}{longest}", flush=True)


if __name__ == "__main__":
    main()
