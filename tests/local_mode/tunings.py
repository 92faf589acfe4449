"""`byoc tune` in a folder of its own, with the stand-in for `train`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from byoc import cli
from byoc.tuning import here, study_results
from byoc.tuning.results import TuningResult

LONG = bool(os.environ.get("BYOC_LONG"))
BYOC = str(Path(sys.executable).with_name("byoc"))
STANDIN = Path(__file__).parents[1] / "standin_train.py"


def statuses(result: TuningResult) -> list[str]:
    return [trial.status for trial in result.trials]


class Tunings:
    """Runs `byoc tune` in a folder of its own, with the stand-in for `train`: in this process, and
    as a program where it is to be killed."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.journal, self._capsys = folder, folder / "journal", capsys
        monkeypatch.setenv("BYOC_STATE_DIR", str(folder / "state"))
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.chdir(folder)
        (folder / "bin").mkdir()
        shutil.copy(STANDIN, folder / "bin" / "train")
        (folder / "bin" / "train").chmod(0o755)
        (folder / "data").mkdir()

    def command(
        self, *arguments: str, name: str = "t", seconds: float = 0.05, epochs: int = 2
    ) -> list[str]:
        variables = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STANDIN_JOURNAL": str(self.journal),
            "STANDIN_SECONDS": str(seconds),
        }
        pairs = [f"-E{name}={value}" for name, value in variables.items()]
        objective = ["--objective", "val_mcc", "--range", "lr=0.1:0.9"]
        start = ["tune", "--name", name, "--train", "data", f"-Hepochs={epochs}"]
        return [*start, *objective, *pairs, *arguments]

    def begin(self, command: list[str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([BYOC, *command], stdout=pipe, stderr=pipe, text=True)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._capsys.readouterr()
        code = cli.run(command)
        return code, *self._capsys.readouterr()

    def result(self) -> TuningResult:
        return study_results.read(here.find(self.folder / "out" / "tune" / "t", "t", None))

    def events(self) -> list[list[str]]:
        return [line.split() for line in self.journal.read_text().splitlines()]

    def begun(self) -> Counter[str]:
        """How often each job has begun."""
        return Counter(event[0] for event in self.events() if event[1] == "began")

    def wait(self, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not (self.journal.exists() and is_there()):
            assert time.monotonic() < deadline, self.journal.exists() and self.events()
            time.sleep(0.02)

    def has(self, *words: str) -> bool:
        """Whether some job has got so far."""
        return any(event[1 : len(words) + 1] == list(words) for event in self.events())

    def wait_for(self, *words: str) -> None:
        self.wait(lambda: self.has(*words))
