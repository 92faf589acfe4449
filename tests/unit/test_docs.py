"""The pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from byoc.conformance import clauses_page
from byoc.serving import openapi
from byoc.serving.settings import read_settings
from byoc.training.config import HYPERPARAMETERS, TrainingConfig, parse_hyperparameters

ROOT = Path(__file__).parents[2]


def test_every_hyperparameter_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = text.split("## Hyperparameters")[1].split("## ")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|", table, flags=re.MULTILINE))
    assert set(rows) == {*HYPERPARAMETERS, "preset"}
    documented = {name: default.strip() for name, default in rows.items() if name != "preset"}
    assert parse_hyperparameters(documented) == TrainingConfig()


def test_the_openapi_document_is_that_of_the_program() -> None:
    text = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert text == openapi.text(read_settings({})), "python -m byoc.serving.openapi writes it"


def test_the_catalogue_of_clauses_is_that_of_the_checks() -> None:
    text = (ROOT / "docs" / "clauses.md").read_text(encoding="utf-8")
    command = "python -m byoc.conformance.clauses_page > docs/clauses.md writes it"
    assert text == clauses_page.text(), command


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_guides_pages_quote_its_script() -> None:
    guide = ROOT / "docs" / "guide"
    script = (guide / "cola.sh").read_text(encoding="utf-8")
    parts = re.findall(r"^# --- (\S+)\n(.*?)\n*(?=^# --- |\Z)", script, flags=re.M | re.S)
    assert {name for name, _ in parts} == {page.name for page in guide.glob("*.md")}
    for name, part in parts:
        page = (guide / name).read_text(encoding="utf-8")
        assert f"```bash\n{part}\n```" in page, f"{name} does not quote cola.sh's part"
        for wanted in ("costs", "undo"):
            assert wanted in page, f"{name}: what it {wanted}"
