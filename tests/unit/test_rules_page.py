"""The rules' page and `byoc debug rules`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from smdebug.core.modes import ModeKeys

from byoc import cli
from byoc.debugger.rules import page
from byoc.debugger.rules.registry import RULES
from debugged import COLLECTIONS, write_events

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_registry() -> None:
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert text == page.text(), "python -m byoc.debugger.rules.page writes it"
    for name, rule in RULES.items():
        assert f"\n## {name}\n" in text
        for parameter in rule.parameters:
            assert f"| `{parameter.name}`" in text


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """24 saves with a loss that stands still."""
    steps = [(ModeKeys.TRAIN, step, {"loss": np.float32(0.7)}) for step in range(24)]
    write_events(tmp_path / "job" / "debugger" / "tensors", steps, COLLECTIONS)
    return tmp_path / "job"


def test_rules_over_a_folder(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = ["--rule", "LossNotDecreasing", "--rule", "ExplodingTensor", "--rule", "Overfit"]
    assert cli.run(["debug", "rules", str(job), "--set", "aws", *some]) == 3
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()[1:]]
    assert [line[:2] for line in lines] == [
        ["LossNotDecreasing", "fired"],
        ["ExplodingTensor", "quiet"],
        ["Overfit", "not"],
    ]
    assert "TRAIN 19" in shown.out
    assert "losses of both TRAIN and EVAL not saved" in shown.out
    assert "1 of 3 rules fired" in shown.err


def test_a_parameter_changes_a_rule(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["debug", "rules", str(job), "--set", "aws", "--rule", "LossNotDecreasing"]
    assert cli.run([*arguments, "--parameter", "LossNotDecreasing.num_steps=50"]) == 0
    assert "quiet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rule", "LossDecreasing"], "there is no rule 'LossDecreasing'"),
        (["--parameter", "Overfit=1"], "write RULE.NAME=VALUE"),
        (["--parameter", "Overfit.patience=no"], "patience is 'no': give a whole number"),
    ],
)
def test_wrong_rules_and_parameters(
    job: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["debug", "rules", str(job), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_a_debugged_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["debug", "rules", str(tmp_path)]) == 1
    assert "nothing of a debugged job" in capsys.readouterr().err
