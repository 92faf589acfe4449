"""What sections are made of: headings, tables, pairs, notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from byoc.html.element import Child, Html, tag
from byoc.html.text import number, size


def section(place: int, name: str, title: str, *content: Child) -> Html:
    heading = tag("h2", tag("span", place, class_="number"), title, id=f"{name}-title")
    return tag("section", heading, content, id=name, aria_labelledby=f"{name}-title")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Child]],
    caption: str | None = None,
    words: int = 1,
    stacks: bool = False,
) -> Html | None:
    """The first ``words`` columns hold words, the others numbers; scrolls where it is too wide.

    ``stacks``: on a narrow page each row becomes a block, its numbers named by their heads.
    """
    body = []
    for row in rows:
        first, *others = row
        cells = [
            tag(
                "td",
                cell,
                class_=None if place < words else "number",
                data_head=heads[place] if stacks and place >= words else None,
            )
            for place, cell in enumerate(others, start=1)
        ]
        body.append(tag("tr", tag("th", first, scope="row"), cells))
    if not body:
        return None
    head = [
        tag("th", title, scope="col", class_=None if place < words else "number")
        for place, title in enumerate(heads)
    ]
    content = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", head)),
        tag("tbody", body),
        class_="stacks" if stacks else None,
    )
    # A region that scrolls must be reachable by keyboard.
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=caption)


def pairs(given: Mapping[str, Any], caption: str) -> Html | None:
    """Names and values in as many columns as there is room for."""
    if not given:
        return None
    entries = [
        tag("div", tag("dt", name), tag("dd", _value(value, name))) for name, value in given.items()
    ]
    return tag("div", tag("h3", caption), tag("dl", entries, class_="pairs"))


def _value(value: Any, name: str = "") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item, key)}" for key, item in value.items())
    if isinstance(value, int | float):
        return size(value) if name.endswith("bytes") else number(value, 4)
    return "" if value is None else str(value)


def notes(found: Sequence[Mapping[str, str]]) -> Html | None:
    """What a section says in words: the fact, and what to do."""
    if not found:
        return None
    lines = [
        tag("p", note["what"], " ", tag("span", note["advice"], class_="do")) for note in found
    ]
    return tag("div", lines, class_="notes")
