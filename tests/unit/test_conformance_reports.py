"""What a check leaves: rows, JSON, JUnit's XML, HTML; and what its command line refuses."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from byoc import cli
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.page import to_html
from byoc.conformance.report import Report, row, to_json, to_junit

OUTCOMES = (
    Outcome("I02", "Small & clean.", Verdict.PASS, "0.08 GB", page="page", seconds=1.25),
    Outcome(
        "T10",
        "Success exits 0.",
        Verdict.FAIL,
        "train: exit 0",
        "no channel: \x1b[31mexit 0\x00 <b>",
        "exit non-zero",
        "AWS's page",
        3.5,
    ),
    Outcome("T19", "Several hosts.", Verdict.NOT_TRIED, "no --channel given"),
    Outcome("M01", "The label.", Verdict.NOT_APPLICABLE, "no label"),
)
REPORT = Report(
    "team/image:1",
    "sha256:0123",
    OUTCOMES,
    datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC),
    65.4,
    {"training": "asked for"},
)


def test_a_failed_row_tells_cause_remedy_and_page() -> None:
    text = row(OUTCOMES[1])
    for words in ("T10  FAIL", "3.5 s", "cause: no channel", "remedy: exit non-zero", "AWS's page"):
        assert words in text
    assert "remedy" not in row(OUTCOMES[0])
    assert REPORT.summary() == "team/image:1: 1 pass, 1 fail, 1 not applicable, 1 not tried; 65 s"


def test_json_holds_every_clause() -> None:
    found = json.loads(to_json(REPORT))
    assert found["counts"] == {"pass": 1, "fail": 1, "not applicable": 1, "not tried": 1}
    assert [it["id"] for it in found["clauses"]] == ["I02", "T10", "T19", "M01"]
    assert found["clauses"][1]["verdict"] == "fail"
    assert found["started"] == "2026-11-25T12:00:05+00:00"


def test_junit_has_the_form_of_its_schema() -> None:
    """As of junit-10.xsd: which elements, in which order, with which attributes."""
    root = ElementTree.fromstring(to_junit(REPORT))
    assert root.tag == "testsuites"
    (suite,) = root
    assert [it.tag for it in suite] == ["properties"] + ["testcase"] * 4
    numbers = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert numbers == {"tests": "4", "failures": "1", "errors": "0", "skipped": "2"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    assert suite.get("name")
    assert suite.get("hostname")
    for case in suite.findall("testcase"):
        assert case.get("name")
        assert case.get("classname")
        assert re.fullmatch(r"\d+\.\d{3}", case.get("time", ""))
        tags = [it.tag for it in case]
        assert tags == sorted(tags, key=["skipped", "failure", "system-out"].index)
    (failure,) = suite.iter("failure")
    # A terminal's escapes have no place in XML.
    assert failure.get("message") == "no channel: \ufffd[31mexit 0\ufffd <b>"
    assert "exit non-zero" in (failure.text or "")
    reasons = [it.get("message") for it in suite.iter("skipped")]
    assert reasons == ["not tried: no --channel given", "not applicable: no label"]


class Page(HTMLParser):
    """Checks that elements close in order, and gathers what a page fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_html_stands_alone_and_escapes_what_images_say() -> None:
    page = Page()
    text = to_html(REPORT)
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    assert "url(" not in text
    assert "exit 0\ufffd &lt;b&gt;" in text
    words = " ".join(page.words)
    for heading in ("Image", "Training", "Multi-model endpoint", "not tried"):
        assert heading in words
    assert "Hosting" not in words
    assert "prefers-color-scheme: dark" in text
    assert "max-width" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument"),
        (["x", "--only", "T99"], "no such clause: T99"),
        (["x", "--channel", "train"], "not of the form NAME=VALUE"),
        (["x", "--channel", "train=nowhere"], "there is no folder"),
        (["x", "--payload", "nowhere"], "does not exist"),
        (["x", "--content-type", "text/csv"], "goes with --payload"),
        (["x", "--json", "nowhere/rows.json"], "there is no folder"),
        (["x", "--only", "T01", "--skip", "t01"], "no clause is left"),
    ],
)
def test_wrong_usage_is_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["check", *words]) == 2
    assert told in capsys.readouterr().err


def test_no_engine_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert cli.run(["check", "x"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("byoc: no Docker engine answers")
