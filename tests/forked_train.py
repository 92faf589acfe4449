"""Runs `train` in forks of a process that has imported everything, so that a run costs no start.

Reads a line "TREE LOG" for each run; prints the run's process id, then its exit code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from byoc import contract
from byoc.training import main


def serve() -> None:
    import datasets  # noqa: F401

    import byoc.training.fit
    import byoc.training.prepare  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        tree, log = line.split()
        pid = os.fork()
        if pid == 0:
            train(tree, log)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def train(tree: str, log: str) -> None:
    """Never returns."""
    os.environ[contract.BASE_DIR_VARIABLE] = tree
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.chdir(Path(tree))
    code = 1
    try:
        main.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
