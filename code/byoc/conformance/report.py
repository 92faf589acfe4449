"""The outcomes of one check as rows for people, as JSON and as JUnit's XML."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree

from byoc.conformance.outcome import Outcome, Verdict

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Report:
    """``seconds``: of the whole check, in which clauses ran side by side."""

    image: str
    image_id: str
    outcomes: Sequence[Outcome]
    started: datetime
    seconds: float
    parts: Mapping[str, str] = field(default_factory=dict)
    """By part of the contract that was tried, why it was."""

    @property
    def counts(self) -> dict[str, int]:
        """How many clauses got each verdict."""
        counts = Counter(it.verdict for it in self.outcomes)
        return {verdict.value: counts[verdict] for verdict in Verdict}

    def summary(self) -> str:
        """One line."""
        told = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items() if count)
        return f"{self.image}: {told}; {self.seconds:.0f} s"


def row(outcome: Outcome) -> str:
    """One line and what was seen; for a fail the cause and the usual remedy."""
    line = f"{outcome.id}  {outcome.verdict.upper():<14} {outcome.seconds:6.1f} s  {outcome.asked}"
    if outcome.verdict is not Verdict.FAIL:
        return f"{line}\n     {outcome.seen}" if outcome.seen else line
    lines = [line, f"     cause: {outcome.cause}"]
    if outcome.seen:
        lines.append(f"     seen: {outcome.seen}")
    lines.append(f"     remedy: {outcome.remedy}")
    lines.append(f"     AWS: {outcome.page}")
    return "\n".join(lines)


def to_json(report: Report) -> str:
    content = {
        "image": report.image,
        "id": report.image_id,
        "started": report.started.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 1),
        "parts": dict(report.parts),
        "counts": report.counts,
        "clauses": [
            dataclasses.asdict(it) | {"seconds": round(it.seconds, 2)} for it in report.outcomes
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def to_junit(report: Report) -> str:
    """One test case for each clause; not applicable and not tried are skipped, with the reason.

    Source of the form: the schema of Jenkins' xUnit plugin (junit-10.xsd).
    """
    counts = report.counts
    totals = {
        "name": f"byoc check {report.image}",
        "tests": str(len(report.outcomes)),
        "failures": str(counts["fail"]),
        "errors": "0",
        "time": f"{report.seconds:.3f}",
    }
    suites = ElementTree.Element("testsuites", totals)
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        {
            **totals,
            "skipped": str(counts["not applicable"] + counts["not tried"]),
            "timestamp": report.started.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": socket.gethostname(),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("image", report.image), ("id", report.image_id)):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for outcome in report.outcomes:
        _add_case(suite, outcome)
    ElementTree.indent(suites)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_case(suite: ElementTree.Element, outcome: Outcome) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "name": f"{outcome.id} {outcome.asked}",
            "classname": "byoc.conformance",
            "time": f"{outcome.seconds:.3f}",
        },
    )
    if outcome.verdict is Verdict.FAIL:
        fault = ElementTree.SubElement(
            case, "failure", {"message": plain(outcome.cause), "type": "clause"}
        )
        fault.text = plain(f"remedy: {outcome.remedy}\nAWS: {outcome.page}")
    elif outcome.verdict is not Verdict.PASS:
        message = f"{outcome.verdict}: {outcome.seen}"
        ElementTree.SubElement(case, "skipped", {"message": plain(message)})
    if outcome.seen:
        ElementTree.SubElement(case, "system-out").text = plain(outcome.seen)


def plain(text: str) -> str:
    """Without what XML 1.0 has no place for: a container's log may hold anything."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
