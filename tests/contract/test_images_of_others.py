"""Images as others design them: the check finds what docs/conformance.md's table says of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from broken import ROOT

from byoc.conformance.engine import Engine

OTHERS = ROOT / "tests/images_of_others"
NAMES = ("script-mode", "model-server", "flask", "mlflow")


def documented(name: str) -> set[str]:
    """The clauses that the table says it breaks."""
    text = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    table = text.split("## Images of others")[1]
    columns = re.search(r"^\| clause \|(.*)\|$", table, re.MULTILINE)
    assert columns is not None
    column = [it.strip() for it in columns[1].split("|")].index(name)
    rows = re.findall(r"^\| ([A-Z]\d\d) \|(.*)\|$", table, re.MULTILINE)
    return {clause for clause, cells in rows if "fail" in cells.split("|")[column]}


def explained(name: str) -> set[str]:
    """The clauses of which a sentence below the table says why."""
    text = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    section = re.split(r"^### ", text, flags=re.MULTILINE)
    (mine,) = [it for it in section if it.startswith(f"{name}:")]
    heads = re.findall(r"^- ((?:[A-Z]\d\d(?:, )?)+):", mine, re.MULTILINE)
    return {clause for head in heads for clause in head.split(", ")}


@pytest.mark.parametrize("name", NAMES)
def test_each_fail_is_explained(name: str) -> None:
    assert documented(name)
    assert explained(name) == documented(name)


@pytest.mark.skipif(
    not os.environ.get("BYOC_LONG"), reason="takes 15 minutes: BYOC_LONG=1 or make test-conformance"
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_what_the_check_finds(name: str, engine: Engine, tmp_path: Path) -> None:
    for command in ([OTHERS / "build.sh", name], [OTHERS / "check.sh", tmp_path, name]):
        subprocess.run(command, check=True)
    report = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    failed = {it["id"]: it["cause"] for it in report["clauses"] if it["verdict"] == "fail"}
    assert set(failed) == documented(name), failed
