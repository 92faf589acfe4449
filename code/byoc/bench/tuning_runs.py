"""The tunings that the benchmarks are made of: `byoc tune` as a program, each of them once.

A tuning that has ended is read from its folder; one that was broken off goes on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from byoc.launch.state import STATE_VARIABLE
from byoc.tuning import files
from byoc.tuning.results import TuningResult

_PROGRAM = Path(sys.executable).with_name("byoc")


@dataclass(frozen=True)
class Tunings:
    """Those that lie in ``out``."""

    out: Path

    def run(self, name: str, *arguments: str) -> TuningResult:
        """The tuning ``name`` once it has ended; ``arguments``: of `byoc tune`.

        Raises ``RuntimeError`` that names its log where it does not end with a completed trial.
        """
        found = self._read(name)
        if found is None or found.status != "Completed":
            self.call(name, *arguments)
            found = self._read(name)
        if found is None or found.best is None:
            raise RuntimeError(f"tuning {name} has no completed trial: see {self._log(name)}")
        # Weights of dozens of trials that nobody will use.
        shutil.rmtree(self._folder(name) / "jobs", ignore_errors=True)
        return found

    def call(self, name: str, *arguments: str) -> float:
        """Seconds that `byoc tune` takes for this tuning, or for what is left of it."""
        command = [str(_PROGRAM), "tune", "--name", name, "--output", str(self.out / "tune")]
        environment = {**os.environ, STATE_VARIABLE: str(self.out / "state")}
        self.out.mkdir(parents=True, exist_ok=True)
        print(f"tuning {name} ...", flush=True)
        started = time.monotonic()
        with self._log(name).open("a", encoding="utf-8") as log:
            code = subprocess.run(
                [*command, *arguments], env=environment, stdout=log, stderr=log, check=False
            ).returncode
        if code:
            raise RuntimeError(f"`byoc tune` failed with {code}: see {self._log(name)}")
        return time.monotonic() - started

    def _folder(self, name: str) -> Path:
        return self.out / "tune" / name

    def _log(self, name: str) -> Path:
        return self.out / f"{name}.log"

    def _read(self, name: str) -> TuningResult | None:
        from byoc.tuning import here, study_results

        if not (self._folder(name) / files.RESULTS).is_file():
            return None
        return study_results.read(here.find(self._folder(name), name, None))


def best(result: TuningResult) -> float:
    """Raises ``ValueError`` where no trial has completed."""
    if result.best is None or result.best.value is None:
        raise ValueError(f"tuning {result.name} has no completed trial")
    return result.best.value
