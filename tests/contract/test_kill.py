"""SIGKILL at any moment: the next run goes on and ends as one that was never killed.

`make test-kill` tries twenty moments and more; here a few of each kind are tried.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_tree import lay_out

LONG = bool(os.environ.get("BYOC_LONG"))
MOMENTS = {
    "random": 20 if LONG else 2,
    "in-a-write": 6 if LONG else 2,
    "before-the-first": 3 if LONG else 1,
    "after-the-last-epoch": 3 if LONG else 1,
}
EPOCHS = 3
LAST_EPOCH = f"epoch={EPOCHS} "


class Runs:
    """The forking process of tests/forked_train.py."""

    def __init__(self) -> None:
        program = Path(__file__).parent.parent / "forked_train.py"
        self._server = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "ready"

    def start(self, tree: Path) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{tree} {tree / 'log'}\n")
        self._server.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        return int(self._line())

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


@dataclass
class Whole:
    """A run that nobody killed."""

    seconds: float
    results: dict[str, object]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    found = Runs()
    yield found
    found.close()


@pytest.fixture(scope="module")
def whole(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    tree = prepare(tmp_path_factory.mktemp("whole") / "ml")
    started = time.monotonic()
    runs.start(tree)
    assert runs.end() == 0, (tree / "log").read_text()
    return Whole(time.monotonic() - started, results(tree))


def prepare(tree: Path) -> Path:
    changes = {"epochs": str(EPOCHS), "checkpoint-seconds": "0.3", "early-stopping-patience": "0"}
    lay_out(tree, **changes)
    (tree / "checkpoints").mkdir()
    return tree


def results(tree: Path) -> dict[str, object]:
    data = tree / "output" / "data"
    steps = [json.loads(line) for line in (data / "metrics.jsonl").read_text().splitlines()]
    return {
        "metrics": json.loads((data / "metrics.json").read_text()),
        "steps": steps,
        "weights": (tree / "model" / "model.safetensors").read_bytes(),
        "predictions": (data / "validation_predictions.csv").read_text(),
    }


def log(tree: Path) -> str:
    path = tree / "log"
    return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Found:
    """What a killed run has left."""

    in_a_write: bool
    checkpoints: int
    epochs_done: bool

    def __str__(self) -> str:
        done = "the last epoch done" if self.epochs_done else "epochs left"
        place = "in a write" if self.in_a_write else "in no write"
        return f"{self.checkpoints} checkpoints, {place}, {done}"

    def is_of(self, kind: str) -> bool:
        return {
            "random": True,
            "in-a-write": self.in_a_write,
            "before-the-first": not self.checkpoints,
            "after-the-last-epoch": self.epochs_done,
        }[kind]


def found(tree: Path) -> Found:
    folder = tree / "checkpoints"
    return Found(
        any(folder.glob("*.partial")),
        len(list(folder.glob("checkpoint-*.safetensors"))),
        LAST_EPOCH in log(tree),
    )


class Tally:
    """The killed runs of each kind: those that were tried, and those that ended as they should."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.equal: Counter[str] = Counter()

    def text(self) -> str:
        kinds = ", ".join(f"{self.equal[kind]} {kind}" for kind in MOMENTS)
        equal, tried = self.equal.total(), self.tried.total()
        return f"{equal} of {tried} resumed with equal metrics: {kinds}"


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


def at_random(pid: int, tree: Path, chance: random.Random, whole: Whole) -> None:
    time.sleep(chance.uniform(0.0, whole.seconds))


def in_a_write(pid: int, tree: Path, chance: random.Random, whole: Whole) -> None:
    """A write takes milliseconds: the run is held still to see whether it is in one."""
    number = chance.randrange(1, 45)
    with suppress(FileNotFoundError, ProcessLookupError):  # it is over
        while state(pid):
            if not is_written(tree, number):
                continue
            os.kill(pid, signal.SIGSTOP)
            while state(pid) != "T":
                time.sleep(0.001)
            if is_written(tree, number):
                return
            os.kill(pid, signal.SIGCONT)


def is_written(tree: Path, number: int) -> bool:
    """Whether a checkpoint of step ``number`` or a later one is being written."""
    names = [path.stem for path in (tree / "checkpoints").glob("*.partial")]
    return any(int(name.removeprefix("checkpoint-")) >= number for name in names)


def state(pid: int) -> str:
    """One letter, as in ps: T is held still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def before_the_first(pid: int, tree: Path, chance: random.Random, whole: Whole) -> None:
    while "training scratch" not in log(tree):
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.2))


def after_the_last_epoch(pid: int, tree: Path, chance: random.Random, whole: Whole) -> None:
    while LAST_EPOCH not in log(tree):
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.2))


KINDS: dict[str, Callable[[int, Path, random.Random, Whole], None]] = {
    "random": at_random,
    "in-a-write": in_a_write,
    "before-the-first": before_the_first,
    "after-the-last-epoch": after_the_last_epoch,
}


def kill(runs: Runs, tree: Path, kind: str, chance: random.Random, whole: Whole) -> bool:
    """One killed run; false where it was over before, or not where it should have been."""
    pid = runs.start(tree)
    KINDS[kind](pid, tree, chance, whole)
    with suppress(ProcessLookupError):  # it was over before
        os.kill(pid, signal.SIGKILL)
    return runs.end() == -signal.SIGKILL and found(tree).is_of(kind)


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, times in MOMENTS.items() for n in range(times)]
)
def test_a_killed_run_is_resumed_with_equal_results(
    runs: Runs, whole: Whole, tally: Tally, tmp_path: Path, kind: str, number: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    for attempt in range(30):
        tree = prepare(tmp_path / str(attempt))
        if kill(runs, tree, kind, chance, whole):
            break
    else:
        pytest.fail(f"no moment of kind {kind} was met in 30 runs, seed {seed}")
    left, told = found(tree), len(log(tree))
    print(f"\n{kind} {number}, seed {seed}: killed with {left}")
    tally.tried[kind] += 1
    runs.start(tree)
    assert runs.end() == 0, log(tree)
    assert results(tree) == whole.results
    assert ("resuming from" in log(tree)[told:]) == bool(left.checkpoints)
    assert not list((tree / "checkpoints").glob("*.partial"))
    assert len(list((tree / "checkpoints").iterdir())) == 2
    tally.equal[kind] += 1


def test_all_were_resumed_and_each_kind_was_met(tally: Tally) -> None:
    print(f"\n{tally.text()}")
    assert tally.equal == tally.tried == MOMENTS, tally.text()
