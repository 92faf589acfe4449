"""A grid's points, each tried once, whatever becomes of the process that was to try it."""

from __future__ import annotations

from pathlib import Path

from byoc.launch.requests import TrainingJob
from byoc.tuning import search
from byoc.tuning.definition_file import parse
from byoc.tuning.owners import Owner
from byoc.tuning.study import Plan, Study

DEFINITION = parse(
    {
        "objective": "val_mcc",
        "strategy": "Grid",
        "ranges": {"batch-size": {"values": ["16", "32", "64"]}},
    }
)[0]


def test_a_point_whose_tuner_died_before_its_job_began_is_proposed_again(tmp_path: Path) -> None:
    study = Study(tmp_path, "t")
    first = Owner(tmp_path)
    study.begin(Plan(DEFINITION, TrainingJob("t", "image", {}, "file:///out"), "process"), first)
    lost = study.propose(DEFINITION, first)
    assert lost is not None
    first.close()
    second = Owner(tmp_path)
    assert study.adopt(second) is None
    found = []
    while (trial := study.propose(DEFINITION, second)) is not None:
        study.note(trial.number, attempts=[f"t-{trial.number}"])
        found.append(search.values(DEFINITION, trial.params)["batch-size"])
    second.close()
    assert found[0] == search.values(DEFINITION, lost.params)["batch-size"]
    assert sorted(found) == ["16", "32", "64"]
