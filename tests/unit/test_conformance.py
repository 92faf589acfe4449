"""The check itself: catalogue, runner, what it judges by. What needs an engine is in contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from byoc.conformance import owner
from byoc.conformance.clauses import Clause, catalogue
from byoc.conformance.image import Image
from byoc.conformance.outcome import (
    Failed,
    Findings,
    NotApplicable,
    NotTried,
    Outcome,
    TooSlow,
    Verdict,
)
from byoc.conformance.patience import patience
from byoc.conformance.report import row
from byoc.conformance.runner import check, passed
from byoc.conformance.training.judging import torn
from byoc.conformance.tree import odd_members, scatter
from byoc.conformance.workload import Workload


def test_each_clause_is_there_once_and_documented() -> None:
    found = catalogue("training")
    assert [it.id for it in found] == [f"T{number:02d}" for number in range(1, 20)]
    numbers = {"B": 3, "H": 15, "M": 6}
    served = catalogue("serving")
    wanted = [f"{kind}{n:02d}" for kind, last in numbers.items() for n in range(1, last + 1)]
    assert [it.id for it in served] == wanted
    for clause in [*found, *served, *catalogue("image")]:
        assert all((clause.asked, clause.how, clause.remedy, clause.page)), clause.id
        assert "\n" not in clause.asked


@dataclass
class NoEngine:
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Tried:
    """A clause's check that does one thing after the other."""

    does: list[str | Exception]
    images: list[Image] = field(default_factory=list)

    def __call__(self, image: Image) -> str:
        self.images.append(image)
        done = self.does.pop(0)
        if isinstance(done, Exception):
            raise done
        return done


def clause(name: str, check_: Callable[[Image], str]) -> Clause:
    return Clause(name, "asked", "how", "remedy", "page", check_)


@pytest.fixture
def image() -> Image:
    return Image("sha256:0", cast(Any, NoEngine()), Workload(), {"Config": {}})


@pytest.mark.parametrize(
    ("done", "verdict"),
    [
        ("seen", Verdict.PASS),
        (Failed("cause", "seen"), Verdict.FAIL),
        (NotApplicable("seen"), Verdict.NOT_APPLICABLE),
        (NotTried("seen"), Verdict.NOT_TRIED),
    ],
)
def test_what_a_check_does_becomes_a_verdict(
    image: Image, done: str | Exception, verdict: Verdict
) -> None:
    (outcome,) = check(image, [clause("X1", Tried([done]))])
    assert (outcome.verdict, outcome.seen) == (verdict, "seen")
    assert passed([outcome]) == (verdict is not Verdict.FAIL)
    assert ("remedy" in row(outcome)) == (verdict is Verdict.FAIL)


def test_a_fault_of_the_check_itself_is_no_fault_of_the_image(image: Image) -> None:
    (outcome,) = check(image, [clause("X1", Tried([OSError("the engine is gone")]))])
    assert outcome.verdict is Verdict.NOT_TRIED
    assert "the engine is gone" in outcome.seen


def test_what_came_too_late_is_tried_again_with_nothing_remembered(image: Image) -> None:
    image.once("run", lambda: 1)
    late = Tried([TooSlow("late"), TooSlow("late"), "in time"])
    outcomes = check(image, [clause("X1", late), clause("X2", Tried(["seen"]))])
    assert [it.verdict for it in outcomes] == [Verdict.PASS, Verdict.PASS]
    assert late.images[0] is image
    assert late.images[2].once("run", lambda: 2) == 2


def test_independent_clauses_run_side_by_side(image: Image) -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(_: Image) -> str:
        both.wait()
        return "met"

    outcomes = check(image, [clause("X1", meet), clause("X2", meet)])
    assert [it.seen for it in outcomes] == ["met", "met"]


def test_a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for load, seconds in ((0.5, 10), (4.0, 20), (90.0, 40)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0))
        assert patience(10) == seconds


def test_ctrl_c_ends_the_engines_containers(image: Image) -> None:
    def interrupt(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(image, [clause("X1", Tried(["seen"]))], interrupt)
    assert cast(NoEngine, image.engine).closed == 1


def test_a_run_that_fails_fails_for_everyone_who_shares_it(image: Image) -> None:
    def make() -> int:
        raise Failed("it ended")

    for _ in range(2):
        with pytest.raises(Failed, match="it ended"):
            image.once("run", make)


def test_findings_tell_every_fault_at_once() -> None:
    findings = Findings()
    findings.expect(True, "no", "first")
    findings.expect(False, "second")
    findings.expect(False, "third")
    with pytest.raises(Failed, match="second; third") as raised:
        findings.seen()
    assert raised.value.seen == "first"


def test_an_owner_is_gone_when_its_process_is() -> None:
    program = "from byoc.conformance import owner; print(owner.current())"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert owner.is_gone(ended)
    assert not owner.is_gone(owner.current())
    # A later process with this process's id.
    assert owner.is_gone(owner.current().rpartition("-")[0] + "-1")


@pytest.mark.parametrize("name", ["", "another_host-1-1", "nonsense"])
def test_what_no_process_here_owns_is_let_be(name: str) -> None:
    assert not owner.is_gone(name)


def test_torn_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(8)
    for content in (whole[:-1], whole[:20], b"", b"not a checkpoint", whole + b"x"):
        path.write_bytes(content)
        assert torn(path)
    path.write_bytes(whole)
    assert not torn(path)


def test_scatter_keeps_every_row_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    rows = [f"text {number}\t1\n" for number in range(130)]
    (tmp_path / "one/train.tsv").write_text("".join(["sentence\tlabel\n", *rows]))
    assert scatter(tmp_path / "one", tmp_path / "many", 64)
    parts = sorted((tmp_path / "many").rglob("*.tsv"))
    assert len(parts) == 64
    lines = [path.read_text().splitlines(keepends=True) for path in parts]
    assert {it[0] for it in lines} == {"sentence\tlabel\n"}
    assert [line for it in lines for line in it[1:]] == rows


def test_odd_members(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert odd_members(tmp_path) == ["link (symbolic link)", "pipe (p)"]


def test_what_is_always_too_late_fails_in_the_end(image: Image) -> None:
    late = Tried([TooSlow("late")] * 4)
    (outcome,) = check(image, [clause("X1", late)])
    assert outcome.verdict is Verdict.FAIL
    assert outcome.cause.startswith("late (load average ")
    assert late.does == []
