"""`byoc tune` on this machine, with a stand-in for `train` where that is enough."""

from __future__ import annotations

import csv
import json
import random
import re
import signal
import time
from pathlib import Path

import pytest
from tunings import LONG, Tunings, statuses

from byoc.cores import available_cores
from byoc.launch.state import Record
from byoc.launch.supervised import JOBS
from byoc.tuning import owners


@pytest.fixture
def tunings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tunings:
    return Tunings(tmp_path, monkeypatch, capsys)


def test_a_tuning_ends_with_its_best_trial(tunings: Tunings) -> None:
    code, output, errors = tunings.run(tunings.command("--max-jobs", "5", "--max-parallel", "2"))
    assert code == 0, errors
    result = tunings.result()
    assert statuses(result) == ["Completed"] * 5
    values = [trial.value or 0.0 for trial in result.trials]
    best = result.trials[values.index(max(values))]
    assert f"best:  trial {best.number}, val_mcc={best.value:.6g}" in output
    assert f"model: {best.artifact}" in output
    assert Path(best.artifact.removeprefix("file://")).is_file()
    folder = tunings.folder / "out" / "tune" / "t"
    assert json.loads((folder / "best.json").read_text()) == {"epochs": "2", **best.values}
    with (folder / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["val_mcc"]) for row in rows] == values
    assert not list((folder / "checkpoints").iterdir())
    page = (folder / "tuning.html").read_text()
    assert "page:  out/tune/t/tuning.html" in output
    assert f"What the best trial has, trial {best.number}" in page
    # Beside the objective's curve the other metrics' are drawn: it prints val_loss=1.
    assert [dict(trial.metrics) for trial in result.trials] == [{"val_loss": {1: 1, 2: 1}}] * 5
    # Each of two parallel trials has half of the cores.
    threads = {event[3] for event in tunings.events() if event[1] == "began"}
    assert threads == {str(max(1, available_cores() // 2))}


def test_a_budget_ends_the_tuning(tunings: Tunings) -> None:
    assert tunings.run(tunings.command("--max-jobs", "1"))[0] == 0
    code, _, errors = tunings.run(tunings.command("--max-jobs", "50", "--max-time", "0.05"))
    assert code == 0, errors
    assert "it was stopped: --max-time is up: 0.05 s" in errors
    result = tunings.result()
    assert result.status == "Stopped"
    assert len(result.trials) < 50


def test_data_that_no_trial_could_read_end_the_tuning_before_it_begins(tunings: Tunings) -> None:
    """Here the look at the data is the real program; the folder is empty."""
    command = tunings.command("--range", "max-length=128,256")
    command = [it for it in command if not it.startswith("-EPATH")]
    code, _, errors = tunings.run(command)
    assert code == 1
    assert "channel train holds no table" in errors.splitlines()[-1]
    assert not tunings.journal.exists()


def test_failures_are_recorded_and_the_tuning_goes_on(tunings: Tunings) -> None:
    grid = ["--strategy", "Grid", "--range", "lr=0.2", "--range", "batch-size=13,14,15,16"]
    code, output, errors = tunings.run(tunings.command(*grid, "--max-parallel", "2"))
    assert code == 0, errors
    by_kind = {it.values["batch-size"]: (it.status, it.cause) for it in tunings.result().trials}
    assert by_kind["13"] == ("Failed", "the disk is full: take a larger volume")
    assert by_kind["14"][0] == by_kind["15"][0] == "Failed"
    assert "no line of its log is matched" in by_kind["14"][1]
    assert by_kind["15"][1] == "its objective is nan"
    assert by_kind["16"] == ("Completed", "")
    assert "3 failed" in output


def test_the_best_trial_is_trained_anew_with_debugging(tunings: Tunings) -> None:
    """Tuning jobs carry no rules, so debugging comes with the training after them."""
    command = tunings.command("--max-jobs", "2", "--then-train", "--debug")
    code, output, errors = tunings.run(command)
    assert code == 0, errors
    best = tunings.result().best
    assert best is not None
    (final,) = (tunings.folder / "state" / JOBS).glob("t-final-*")
    given = Record(final).read("request.json")["HyperParameters"]
    assert given == {"epochs": "2", **best.values, "debug": "true"}
    found = re.search(r"final model: file://(\S+)", output)
    assert found is not None
    assert Path(found[1]).is_file()
    assert tunings.run(tunings.command("--debug"))[0] == 1


def test_where_all_trials_fail_the_command_does_too(tunings: Tunings) -> None:
    code, _, errors = tunings.run(tunings.command("--max-jobs", "1", "-Hbatch-size=13"))
    assert code == 1
    assert "no trial has completed: trial 0: the disk is full" in errors


def test_a_job_that_is_stopped_from_outside_is_no_completed_trial(tunings: Tunings) -> None:
    command = tunings.command("--max-jobs", "2", epochs=6, seconds=0.3)
    with tunings.begin(command) as tuning:
        tunings.wait_for("epoch", "1")
        Record(tunings.folder / "state" / JOBS / "t-0000").signal(signal.SIGTERM)
        output, errors = tuning.communicate(timeout=120)
    assert tuning.returncode == 0, errors
    first, second = tunings.result().trials
    assert first.status == "Stopped"
    assert "stopped from outside (SIGTERM, exit code 143)" in first.cause
    assert second.status == "Completed"
    assert "best:  trial 1" in output


def test_pruning_ends_a_trials_process(tunings: Tunings) -> None:
    """SageMaker's rule: worse than the median of the others' running averages."""
    grid = ["--strategy", "Grid", "--range", "lr=0.31,0.32,0.33,0.34,0.9,0.8"]
    command = tunings.command(*grid, "--early-stopping", "Auto", epochs=30, seconds=0.1)
    code, _, errors = tunings.run(command)
    assert code == 0, errors
    trials = tunings.result().trials
    pruned = [trial for trial in trials if trial.status == "Pruned"]
    assert pruned
    for trial in pruned:
        assert "pruned after epoch" in trial.cause
        assert max(trial.curve) < 30
        assert [trial.job, "stopped"] in tunings.events()
    assert next(it for it in trials if it.values["lr"] == "0.31").status == "Completed"


@pytest.mark.parametrize("moment", ["began", "epoch"])
def test_killed_with_sigkill_it_goes_on_and_nothing_runs_twice(
    tunings: Tunings, moment: str
) -> None:
    command = tunings.command("--max-jobs", "4", "--max-parallel", "2", epochs=4, seconds=0.2)
    with tunings.begin(command) as tuning:
        tunings.wait_for(moment)
        tuning.kill()
    code, _, errors = tunings.run(command)
    assert code == 0, errors
    assert "going on with tuning t" in errors
    result = tunings.result()
    assert statuses(result) == ["Completed"] * 4
    assert [sorted(trial.curve) for trial in result.trials] == [[1, 2, 3, 4]] * 4
    assert tunings.begun() == {f"t-000{number}": 1 for number in range(4)}


def test_killed_with_its_jobs_it_goes_on_from_the_checkpoints(tunings: Tunings) -> None:
    """As when the machine has gone down."""
    command = tunings.command("--max-jobs", "1", epochs=10, seconds=0.2)
    with tunings.begin(command) as tuning:
        tunings.wait_for("epoch", "2")
        tuning.kill()
    Record(tunings.folder / "state" / JOBS / "t-0000").signal(signal.SIGKILL, group=True)
    code, _, errors = tunings.run(["tune", "attach", "t"])
    assert code == 0, errors
    (trial,) = tunings.result().trials
    assert (trial.status, trial.job) == ("Completed", "t-0000-r1")
    assert sorted(trial.curve) == [*range(1, 11)]
    (again,) = [event for event in tunings.events() if event[:2] == ["t-0000-r1", "began"]]
    assert int(again[2]) > 1


@pytest.mark.skipif(not LONG, reason="twenty kills take minutes: make test-tuning")
def test_killed_at_twenty_moments_no_trial_is_lost_or_run_twice(tunings: Tunings) -> None:
    moments = random.Random(0)
    command = tunings.command("--max-jobs", "12", "--max-parallel", "2", epochs=4, seconds=0.3)
    kills = 0
    for _ in range(20):
        with tunings.begin(command) as tuning:
            assert tuning.stderr is not None
            for line in tuning.stderr:  # from here on it works on the study
                if "estimate: " in line:
                    break
            time.sleep(moments.uniform(0, 2))
            kills += tuning.poll() is None
            tuning.kill()
    code, _, errors = tunings.run(command)
    assert code == 0, errors
    assert kills > 5
    result = tunings.result()
    assert statuses(result) == ["Completed"] * 12
    assert all(sorted(trial.curve) == [1, 2, 3, 4] for trial in result.trials)
    assert tunings.begun() == {trial.job: 1 for trial in result.trials}


def test_hyperband_stops_trials_at_its_own_rungs(tunings: Tunings) -> None:
    rates = "--range=lr=0.31,0.32,0.33,0.8,0.85,0.9"
    command = tunings.command("--strategy", "Hyperband", "--max-jobs", "8", rates, epochs=9)
    code, _, errors = tunings.run(command)
    assert code == 0, errors
    ended = [(trial.status, max(trial.curve)) for trial in tunings.result().trials]
    assert {status for status, _ in ended} == {"Completed", "Pruned"}
    assert {epoch for status, epoch in ended if status == "Completed"} == {9}


def test_ctrl_c_ends_the_jobs_and_attach_goes_on(tunings: Tunings) -> None:
    command = tunings.command("--max-jobs", "2", epochs=8, seconds=0.2)
    with tunings.begin(command) as tuning:
        tunings.wait_for("epoch", "2")
        tuning.send_signal(signal.SIGINT)
        _, errors = tuning.communicate(timeout=120)
    assert tuning.returncode == 130
    assert "`byoc tune attach t` goes on with it" in errors
    assert tunings.has("stopped")
    assert statuses(tunings.result()) == ["InProgress"]
    assert tunings.run(["tune", "attach", "t"])[0] == 0
    assert statuses(tunings.result()) == ["Completed"] * 2


def test_several_processes_share_a_tuning_and_stop_ends_the_trials_of_all(
    tunings: Tunings,
) -> None:
    command = tunings.command("--max-jobs", "4", epochs=10_000, seconds=0.2)
    with tunings.begin(command) as first:
        tunings.wait_for("began")
        with tunings.begin(["tune", "attach", "t", "--max-parallel", "2"]) as second:
            tunings.wait(lambda: len(tunings.begun()) == 3)
            assert tunings.run(["tune", "stop", "t"])[0] == 0
            said = [process.communicate(timeout=120)[1] for process in (first, second)]
    result = tunings.result()
    assert result.status == "Stopped"
    assert statuses(result) == ["Stopped"] * 3
    assert set(tunings.begun().values()) == {1}
    assert all("stopped by byoc tune stop" in text for text in said)


def test_a_silent_hosts_trial_is_tried_again_by_another(
    tunings: Tunings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts share a database and no folder; the first one goes down."""
    database = ["--storage", f"sqlite:///{tunings.folder / 'shared.db'}"]
    command = tunings.command("--max-jobs", "1", "--output", "first", *database, epochs=4)
    with tunings.begin(command) as tuning:
        tunings.wait_for("began")
        tuning.kill()
    Record(tunings.folder / "state" / JOBS / "t-0000").signal(signal.SIGKILL, group=True)
    second = ["tune", "attach", "t", "--output", "second", *database]
    code, output, errors = tunings.run(second)
    assert code == 1, errors  # the first one may still be alive
    monkeypatch.setattr(owners, "SILENT_SECONDS", 0.0)
    code, output, errors = tunings.run(second)
    assert code == 0, errors
    assert "t: Completed, 1 of 1 trials" in output
    assert "best:  trial 1" in output


def test_a_tuning_that_was_stopped_goes_on_when_asked_again(tunings: Tunings) -> None:
    command = tunings.command("--max-jobs", "2", "--max-parallel", "1", seconds=3.0)
    assert tunings.run([*command, "--max-time", "0.01"])[0] in (0, 1)
    assert tunings.result().status == "Stopped"
    assert tunings.run(command)[0] == 0
    assert statuses(tunings.result())[-1] == "Completed"
    assert tunings.result().status == "Completed"


def test_another_tuning_under_the_same_name_is_refused(tunings: Tunings) -> None:
    assert tunings.run(tunings.command("--max-jobs", "1"))[0] == 0
    other = tunings.command("--max-jobs", "1", "--seed", "9", "--model", "bin")
    code, _, errors = tunings.run(other)
    assert code == 1
    assert "another seed, model: choose another --name" in errors
    assert tunings.run(tunings.command("--max-jobs", "2"))[0] == 0
    assert statuses(tunings.result()) == ["Completed"] * 2


def test_a_warm_start_begins_with_what_was_found_out(tunings: Tunings) -> None:
    assert tunings.run(tunings.command("--max-jobs", "3"))[0] == 0
    command = tunings.command("--max-jobs", "1", "--warm-start", "t", name="u")
    code, output, errors = tunings.run(command)
    assert code == 0, errors
    assert "warm start: 3 trials of t taken over" in errors
    assert "1 of 1 trials" in output


def test_a_tuning_that_is_not_there_is_one_line(tunings: Tunings) -> None:
    for verb in ("show", "attach", "stop"):
        code, _, errors = tunings.run(["tune", verb, "t"])
        assert code == 1
        assert errors.startswith("byoc: there is no tuning t: no ")
    assert not (tunings.folder / "out").exists()


def test_a_job_that_cannot_start_ends_the_tuning_with_the_cause(tunings: Tunings) -> None:
    command = tunings.command()
    command[command.index("data")] = "nowhere"
    code, _, errors = tunings.run(command)
    assert code == 1
    assert "channel train: there is no file or folder" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "mysql+pymysql://u:secret@db/t",
            "mysql+pymysql://db/t: there is no module pymysql",
        ),
        ("nothing", "cannot keep the tuning in nothing: "),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_the_password(
    tunings: Tunings, url: str, said: str
) -> None:
    for command in (tunings.command("--storage", url), ["tune", "show", "t", "--storage", url]):
        code, _, errors = tunings.run(command)
        assert code == 1
        (line,) = errors.splitlines()
        assert said in line
        assert "secret" not in line
