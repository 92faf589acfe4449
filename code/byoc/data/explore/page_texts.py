"""Sections of the page that show texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from byoc.data.texts import visible
from byoc.html import parts
from byoc.html.element import Child, Html, tag
from byoc.html.text import number

Report = dict[str, Any]


def titled(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], title: str, **layout: Any
) -> Html | None:
    """A table under a heading; its own caption is for those who hear the page."""
    found = parts.table(heads, rows, title, **layout)
    return tag("div", tag("h3", title), found) if found else None


def duplicates(report: Report) -> list[Html | None]:
    found = report["duplicates"]
    facts = {
        "Rows that repeat a text exactly": found["exact"],
        "Rows that repeat one but for case, spaces and compatible characters": found["normalised"],
        "Texts with more than one label": found["conflicting"]["texts"],
        "Rows of these": found["conflicting"]["rows"],
    }
    across = [
        [pair, number(counts["exact"]), number(counts["normalised"])]
        for pair, counts in found["across"].items()
    ]
    return [
        parts.pairs(facts, "In all splits together"),
        titled(
            ["Splits", "Exactly", "Normalised"],
            across,
            "Leakage: rows of the first split whose text the second one has too",
        ),
        _texts(found["conflicts"], "Texts with more than one label"),
        _texts(found["repeated"], "Texts that are repeated most"),
    ]


def _texts(found: list[dict[str, Any]], caption: str) -> Html | None:
    rows = [
        [
            row["text"],
            ", ".join(
                f"{visible(label)}: {number(count)}" for label, count in row["labels"].items()
            ),
            number(row["rows"]),
        ]
        for row in found
    ]
    return titled(["Text", "Labels", "Rows"], rows, caption, words=2, stacks=True)


def characters(report: Report) -> list[Html | None]:
    found = report["odd_characters"]
    if not found:
        return [tag("p", "None: no control or invisible characters, no lost bytes, no markup.")]
    rows = [
        [
            entry["kind"],
            [
                tag("small", f"{row['split']}, line {row['line']}: {row['text']}")
                for row in entry["examples"]
            ],
            ", ".join(character["character"] for character in entry["characters"]),
            number(entry["rows"]),
        ]
        for entry in found
    ]
    heads = ["Kind", "Where", "Characters", "Rows"]
    return [titled(heads, rows, "Rows with odd characters", words=3, stacks=True)]


def examples(report: Report) -> list[Html | None]:
    return [
        titled(
            ["Text", "Line", "Characters"],
            [[row["text"], number(row["line"]), number(row["characters"])] for row in rows],
            f"The {name} texts of {split}",
            stacks=True,
        )
        for split, kinds in report["examples"].items()
        for name, rows in kinds.items()
    ]
