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
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_tree import lay_out

LONG = bool(os.environ.get("BYOC_LONG"))
MOMENTS = {
    "random": 12 if LONG else 2,
    "in-a-write": 6 if LONG else 2,
    "before-the-first": 3 if LONG else 1,
    "after-the-last-epoch": 3 if LONG else 1,
}
EPOCHS = 3


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


def at_random(tree: Path, chance: random.Random, whole: Whole) -> None:
    time.sleep(chance.uniform(0.0, whole.seconds))


def in_a_write(tree: Path, chance: random.Random, whole: Whole) -> None:
    number, end = chance.randrange(1, 20), time.monotonic() + whole.seconds
    while time.monotonic() < end:
        found = list((tree / "checkpoints").glob("*.partial"))
        if found and int(found[0].stem.removeprefix("checkpoint-")) >= number:
            return


def before_the_first(tree: Path, chance: random.Random, whole: Whole) -> None:
    while "training scratch" not in log(tree):
        time.sleep(0.001)


def after_the_last_epoch(tree: Path, chance: random.Random, whole: Whole) -> None:
    while f"epoch={EPOCHS} " not in log(tree):
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.2))


KINDS: dict[str, Callable[[Path, random.Random, Whole], None]] = {
    "random": at_random,
    "in-a-write": in_a_write,
    "before-the-first": before_the_first,
    "after-the-last-epoch": after_the_last_epoch,
}


def kill(runs: Runs, tree: Path, kind: str, chance: random.Random, whole: Whole) -> bool:
    """One killed run; false where it was over before, or not where it should have been."""
    pid = runs.start(tree)
    KINDS[kind](tree, chance, whole)
    with suppress(ProcessLookupError):  # it was over before
        os.kill(pid, signal.SIGKILL)
    killed = runs.end() == -signal.SIGKILL
    if kind == "in-a-write":
        return killed and any((tree / "checkpoints").glob("*.partial"))
    return killed


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, times in MOMENTS.items() for n in range(times)]
)
def test_a_killed_run_is_resumed_with_equal_results(
    runs: Runs, whole: Whole, tmp_path: Path, kind: str, number: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"kind {kind}, number {number}, seed {seed}")
    chance = random.Random(seed)
    for attempt in range(30):
        tree = prepare(tmp_path / str(attempt))
        if kill(runs, tree, kind, chance, whole):
            break
    else:
        pytest.fail(f"no moment of kind {kind} was met in 30 runs")
    told = (tree / "log").stat().st_size if (tree / "log").exists() else 0
    whole_ones = list((tree / "checkpoints").glob("checkpoint-*.safetensors"))
    runs.start(tree)
    assert runs.end() == 0, log(tree)
    assert results(tree) == whole.results
    assert ("resuming from" in log(tree)[told:]) == bool(whole_ones)
    assert not list((tree / "checkpoints").glob("*.partial"))
    assert len(list((tree / "checkpoints").iterdir())) == 2
