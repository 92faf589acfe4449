"""A data set from `byoc data prepare` to `byoc train`, with nothing in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoc import cli
from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus


def test_a_job_takes_a_prepared_data_set_by_the_command_that_was_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(Path("raw"), size=400)
    assert cli.run(["data", "prepare", "raw", "set"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("train with: ")]
    command = line.removeprefix("train with: byoc ").split()
    hyperparameters = {**EMBEDDED_HYPERPARAMETERS, "epochs": "1"}
    for name, value in hyperparameters.items():
        command += ["-H", f"{name}={value}"]
    assert cli.run([*command, "--where", "process"]) == 0
    out = capsys.readouterr().out
    assert "test_mcc=" in out or "val_mcc=" in out
    artifact = out.splitlines()[-1].removeprefix("model: file://")
    assert Path(artifact).is_file()
