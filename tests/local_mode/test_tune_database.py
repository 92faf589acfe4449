"""`byoc tune --storage` on a real database server, which several hosts share.

A host is a process with an output folder of its own: by that folder's locks a process knows the
others of its host.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from tunings import BYOC, LONG, Tunings, statuses

from byoc.tuning import here, study_results
from byoc.tuning.results import TuningResult
from postgres import PASSWORD, Postgres, missing, postgres

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is one")


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def tunings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tunings:
    return Tunings(tmp_path, monkeypatch, capsys)


def result(tunings: Tunings, server: Postgres) -> TuningResult:
    folder = tunings.folder / "looks"
    return study_results.read(here.find(folder, "t", server.url))


def test_two_hosts_share_a_tuning(tunings: Tunings, server: Postgres) -> None:
    """Every trial is run once, by one of them; both end with the same best."""
    most = ["--max-jobs", "9", "--max-parallel", "1", "--storage", server.url]
    with tunings.begin(tunings.command(*most, "--output", "a", epochs=3, seconds=0.2)) as first:
        tunings.wait_for("began")
        attach = [BYOC, "tune", "attach", "t", "--output", "b", "--storage", server.url]
        pipe = subprocess.PIPE
        with subprocess.Popen(attach, stdout=pipe, stderr=pipe, text=True) as second:
            said = [it.communicate(timeout=300) for it in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    found = _assert_each_was_run_once(tunings, server, 9)
    study = optuna.load_study(storage=server.url, study_name="t")
    owners = Counter(trial.user_attrs["owner"]["id"] for trial in study.trials)
    assert len(owners) == 2, owners  # neither of them did all the work
    assert found.best is not None
    for output, errors in said:
        assert f"best:  trial {found.best.number}," in output
        assert PASSWORD not in output + errors
        assert "pass%20" not in output + errors


@pytest.mark.skipif(not LONG, reason="ten seconds each: make test-tuning")
def test_a_server_that_restarts_costs_no_trial(tunings: Tunings, server: Postgres) -> None:
    """The trials train on meanwhile, and the tuner takes them up again."""
    most = ["--max-jobs", "4", "--max-parallel", "2", "--storage", server.url]
    with tunings.begin(tunings.command(*most, epochs=6, seconds=0.3)) as tuning:
        tunings.wait_for("epoch", "2")
        server.stop()
        tunings.wait_for("epoch", "4")
        server.start()
        _, errors = tuning.communicate(timeout=120)
    assert tuning.returncode == 0, errors
    assert "the tuning's database cannot be used: " in errors
    assert "the database is back" in errors
    _assert_each_was_run_once(tunings, server, 4)
    assert "pass%20" not in errors
    assert PASSWORD not in errors


@pytest.mark.skipif(not LONG, reason="ten seconds each: make test-tuning")
def test_a_server_that_stays_away_ends_the_tuner_and_no_trial(
    tunings: Tunings, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tunings.command("--max-jobs", "2", "--storage", server.url, epochs=6, seconds=0.3)
    monkeypatch.setattr(here, "OUTAGE_SECONDS", 1.0)
    stopping = threading.Thread(target=lambda: (tunings.wait_for("epoch", "2"), server.stop()))
    stopping.start()
    code, _, errors = tunings.run(command)
    stopping.join()
    assert code == 1
    last = errors.splitlines()[-1]
    assert last.startswith("byoc: the tuning's database cannot be used: ")
    assert "`byoc tune attach` goes on once it is back" in last
    for verb in ("show", "stop"):
        code, _, errors = tunings.run(["tune", verb, "t", "--storage", server.url])
        assert code == 1
        assert len(errors.splitlines()) == 1
        assert "pass%20" not in errors
    server.start()
    code, _, errors = tunings.run(["tune", "attach", "t", "--storage", server.url])
    assert code == 0, errors
    _assert_each_was_run_once(tunings, server, 2)


@pytest.mark.skipif(not LONG, reason="ten seconds each: make test-tuning")
def test_ctrl_c_while_the_server_is_away_leaves_the_jobs_alone(
    tunings: Tunings, server: Postgres
) -> None:
    command = tunings.command("--max-jobs", "1", "--storage", server.url, epochs=9, seconds=0.3)
    with tunings.begin(command) as tuning:
        tunings.wait_for("epoch", "2")
        server.stop()
        assert tuning.stderr is not None
        for line in tuning.stderr:
            if "trying again for" in line:
                break
        tuning.send_signal(signal.SIGINT)
        errors = tuning.stderr.read()
    assert tuning.wait(60) == 130
    assert "broken off, its jobs go on: `byoc tune attach t` takes them up" in errors
    tunings.wait_for("ended")
    assert not tunings.has("stopped")
    server.start()
    assert tunings.run(["tune", "attach", "t", "--storage", server.url])[0] == 0
    _assert_each_was_run_once(tunings, server, 1)


@pytest.mark.skipif(not LONG, reason="ten seconds each: make test-tuning")
def test_a_grid_that_two_hosts_begin_at_once_is_tried_once(
    tunings: Tunings, server: Postgres
) -> None:
    grid = ["--strategy", "Grid", "--range", "lr=0.1,0.2,0.3,0.4", "--storage", server.url]
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(tunings.begin(tunings.command(*grid, "--output", it)))
            for it in ("a", "b")
        ]
        said = [it.communicate(timeout=300) for it in both]
    assert [it.returncode for it in both] == [0, 0], said
    found = _assert_each_was_run_once(tunings, server, 4)
    assert sorted(trial.values["lr"] for trial in found.trials) == ["0.1", "0.2", "0.3", "0.4"]


def _assert_each_was_run_once(tunings: Tunings, server: Postgres, trials: int) -> TuningResult:
    found = result(tunings, server)
    assert statuses(found) == ["Completed"] * trials
    assert tunings.begun() == {trial.job: 1 for trial in found.trials}
    assert len({tuple(sorted(trial.curve)) for trial in found.trials}) == 1
    return found
