"""report.html of an exploration: one file, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byoc.data.explore import page_texts
from byoc.data.texts import visible
from byoc.html import parts
from byoc.html.bars import Bar, Counted, bar_list, histogram
from byoc.html.document import document
from byoc.html.element import Html, tag
from byoc.html.lines import COLOURS
from byoc.html.parts import section
from byoc.html.plot import side_by_side
from byoc.html.text import number, percent

Report = dict[str, Any]

UNITS = {"pieces": "word pieces", "words": "words", "characters": "characters"}
_MOST_LABELS = 20


def render(report: Report) -> str:
    contents = [(name, title) for name, title, _ in SECTIONS]
    sections = [
        section(place, name, title, draw(report))
        for place, (name, title, draw) in enumerate(SECTIONS, start=1)
    ]
    made = f"Made by {report['made_by']}: byoc data explore. --json has the numbers."
    return document("Data set", report["data"], contents, sections, made)


def overview(report: Report) -> list[Html | None]:
    found, advice = report["duplicates"], report["suggestion"]
    tiles = [(f"Rows of {split}", number(rows)) for split, rows in report["rows"].items()]
    tiles += [
        ("Labels", number(len(report["labels"]["train"]))),
        ("Repeated texts", number(found["normalised"])),
        ("Texts with several labels", number(found["conflicting"]["texts"])),
        ("Suggested max-length", number(advice["max_length"])),
        ("Suggested batch-size", number(advice["batch_size"])),
    ]
    notes = [{"what": note, "advice": ""} for note in report["notes"]]
    if report["skipped"]:
        what = f"{number(report['skipped'])} rows without text or label were left out."
        notes.append({"what": what, "advice": ""})
    return [
        tag(
            "dl",
            [tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles],
            class_="tiles",
        ),
        tag("p", f"max-length: {advice['max_length_reason']}."),
        tag("p", f"batch-size: {advice['batch_size_reason']}."),
        parts.notes(notes),
    ]


def labels(report: Report) -> list[Html | None]:
    figures = []
    for place, (split, counts) in enumerate(report["labels"].items()):
        whole = report["rows"][split]
        most = sorted(counts.items(), key=lambda pair: -pair[1])[:_MOST_LABELS]
        bars = [
            Bar(
                visible(label),
                count / whole,
                f"{number(count)} ({percent(count / whole)})",
                COLOURS[place],
            )
            for label, count in (counts.items() if len(counts) <= _MOST_LABELS else most)
        ]
        more = len(counts) - len(bars)
        caption = f"and {number(more)} more labels" if more else ""
        figures.append(bar_list(f"Labels of {split}", bars, caption))
    return [side_by_side(*figures)]


def _bar(label: str, count: int, whole: int, colour: str) -> Bar:
    share = count / whole
    return Bar(visible(label), share, f"{number(count)} ({percent(share)})", colour)


def lengths(report: Report) -> list[Html | None]:
    found = report["lengths"]
    units = [unit for unit in UNITS if unit in found["train"]]
    of = report["pieces"]
    told = (
        f"Word pieces by {of['of']}, special ones included."
        if of
        else "No word pieces were counted, as no --model was given: characters and words only."
    )
    return [
        tag("p", told),
        side_by_side(*(_histogram(found, unit).render() for unit in units)),
        *(_percentiles(found, unit) for unit in units),
        _cut(report) if of else None,
    ]


def _histogram(found: dict[str, Any], unit: str) -> Any:
    counted = [
        Counted(split, kinds[unit]["histogram"]["edges"], kinds[unit]["histogram"]["counts"], False)
        for split, kinds in found.items()
    ]
    return histogram(
        f"Length in {UNITS[unit]}",
        counted,
        number,
        UNITS[unit],
        "The last bar holds all that is longer than the 99.9th percentile as well.",
    )


def _percentiles(found: dict[str, Any], unit: str) -> Html | None:
    heads = ["Split", "Mean", "Shortest"]
    heads += [f"{at}%" for at in found["train"][unit]["percentiles"]] + ["Longest"]
    rows = [
        [
            split,
            number(kinds[unit]["mean"]),
            number(kinds[unit]["shortest"]),
            *map(number, kinds[unit]["percentiles"].values()),
            number(kinds[unit]["longest"]),
        ]
        for split, kinds in found.items()
    ]
    return page_texts.titled(heads, rows, f"Percentiles of the length in {UNITS[unit]}")


def _cut(report: Report) -> Html | None:
    found = report["lengths"]
    rows = [
        [limit, *(_exact_percent(kinds["pieces"]["cut"][str(limit)]) for kinds in found.values())]
        for limit in report["max_lengths"]
    ]
    return page_texts.titled(
        ["max-length", *found], rows, "Share of rows that each max-length cuts"
    )


def _exact_percent(share: float) -> str:
    return f"{share:.2%}" if share else "0"


def drift(report: Report) -> list[Html | None]:
    if not report["drift"]:
        return [tag("p", "There is one split only: nothing to compare.")]
    tables = [
        page_texts.titled(
            ["Measure", "", "Found", "By chance"],
            [
                [
                    row["measure"],
                    "differs" if row["notable"] else "as train",
                    f"{row['found']:.3f}",
                    f"{row['by_chance']:.3f}",
                ]
                for row in _named(found)
            ],
            f"{split} against train",
            words=2,
            stacks=True,
        )
        for split, found in report["drift"].items()
    ]
    told = (
        "By chance: the same measure between a sample of train, of about as many rows, and the "
        "rest of train."
    )
    return [*tables, tag("p", told, class_="caption")]


def _named(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from byoc.data.explore.drift import NAMES

    return [{**row, "measure": NAMES[row["measure"]]} for row in found]


SECTIONS: tuple[tuple[str, str, Callable[[Report], list[Html | None]]], ...] = (
    ("overview", "Overview", overview),
    ("labels", "Label balance", labels),
    ("lengths", "Lengths", lengths),
    ("duplicates", "Duplicates and conflicting labels", page_texts.duplicates),
    ("characters", "Odd characters", page_texts.characters),
    ("examples", "Longest and shortest texts", page_texts.examples),
    ("drift", "Drift between the splits", drift),
)
