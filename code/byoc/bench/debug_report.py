"""How long `byoc debug report` takes over a large job, and in how much memory.

    python -m byoc.bench.debug_report [--samples N] [--saves N] [--job FOLDER]

The job is made up (`byoc.bench.debug_job`), the report is that of a process of its own. Exit: 1
where a limit is passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from byoc.bench.debug_job import Size, make_job
from byoc.debugger import library

SECONDS, MEMORY = 20.0, 1e9
PAGE = 5e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=Size.samples)
    parser.add_argument("--saves", type=int, default=Size.saves)
    parser.add_argument("--job", type=Path, help="a job's output in place of a made-up one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-debug-report-") as name:
        job = given.job
        if job is None:
            library.load()
            job = make_job(Path(name) / "job", Size(samples=given.samples, saves=given.saves))
        return _report(job, Path(name) / "report")


def _report(job: Path, folder: Path) -> int:
    """Runs the program and prints one line."""
    program = Path(sys.executable).with_name("byoc")
    started = time.monotonic()
    process = os.posix_spawn(
        program, [str(program), "debug", "report", str(job), "--output", str(folder)], os.environ
    )
    _, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status):
        print("byoc debug report failed", file=sys.stderr)
        return 1
    memory = used.ru_maxrss * 1024
    page = (folder / "report.html").stat().st_size
    print(
        f"report: {seconds:.1f} s (limit {SECONDS:.0f}), of the CPU "
        f"{used.ru_utime + used.ru_stime:.1f} s; {memory / 1e6:.0f} MB (limit {MEMORY / 1e6:.0f}); "
        f"report.html {page / 1e6:.2f} MB (limit {PAGE / 1e6:.0f})"
    )
    return int(seconds > SECONDS or memory > MEMORY or page > PAGE)


if __name__ == "__main__":
    sys.exit(main())
