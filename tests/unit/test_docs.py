"""The pages say what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from byoc import cli
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


def test_the_commands_of_the_pages_are_there_with_their_options() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    seen = [
        (page.name, command)
        for page in pages
        for command in _commands(page.read_text(encoding="utf-8"))
    ]
    assert len(seen) > 100
    assert not [f"{page}: {' '.join(it)}" for page, it in seen if not _is_known(it)]


def _commands(text: str) -> Iterator[list[str]]:
    """The words of every `byoc` command, in a block of code or in a sentence."""
    joined = text.replace("\\\n", " ")
    lines = re.findall(r"^\s*(?:- |\$ )?(byoc [a-z].*)$", joined, re.MULTILINE)
    for command in [*lines, *re.findall(r"`(byoc [a-z][^`]*)`", joined)]:
        yield re.sub(r"[\[\]|;&>()\"']", " ", command.partition(" #")[0]).split()


def _is_known(words: list[str]) -> bool:
    """Whether `byoc` has the command and all its options."""
    command: click.Command = cli.cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest.pop(0))
        if found is None:
            return False
        command = found
    known = {option for it in command.params for option in (*it.opts, *it.secondary_opts)}
    given = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
    return given <= known | {"--help"}


def test_the_snippets_for_ci_are_yaml_that_runs_the_check() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    github, gitlab = (yaml.safe_load(it) for it in re.findall(r"```yaml\n(.*?)```", text, re.S))
    scripts = (github[0]["run"], "\n".join(gitlab["container-contract"]["script"]))
    for script in scripts:
        assert "byoc check" in script
        assert all(_is_known(command) for command in _commands(script))
