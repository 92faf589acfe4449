"""What a rule found, in its section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byoc.html.element import Html, tag
from byoc.html.text import duration, number

STATUS = {"fired": "Fired", "quiet": "Quiet", "not evaluated": "Not evaluated"}
_CLASSES = {"fired": "fired", "quiet": "quiet", "not evaluated": "unknown"}


def badge(status: str) -> Html:
    return tag("span", STATUS[status], class_=f"badge {_CLASSES[status]}")


def findings(rule: Mapping[str, Any], most: int = 5) -> Html | None:
    """Of one rule: what it found, what that means, where."""
    found = rule["findings"]
    if not found:
        return None
    shown = [_finding(finding) for finding in found[:most]]
    more = rule["fired"] - len(shown)
    return tag(
        "article",
        tag(
            "h3",
            tag("a", rule["rule"], href=f"#rule-{rule['rule']}"),
            tag("span", f" fired {times(rule['fired'])}", class_="muted"),
        ),
        tag("p", advice_of(rule), class_="advice"),
        tag("ul", shown),
        tag("p", f"and {number(more)} more", class_="muted") if more > 0 else None,
        class_="finding",
    )


def advice_of(rule: Mapping[str, Any]) -> str:
    found = rule["findings"]
    return str((found[0]["advice"] if found else "") or rule["do"])


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{number(count)} times")


def _finding(finding: Mapping[str, Any]) -> Html:
    where = []
    if finding["step"] is not None:
        mode = f" {str(finding['mode']).lower()}" if finding["mode"] else ""
        where.append(f"at{mode} step {number(finding['step'])}")
    if finding.get("seconds") is not None:
        where.append(f"{duration(finding['seconds'])} after the start")
    return tag(
        "li",
        finding["what"],
        tag("span", " (", ", ".join(where), ")", class_="muted") if where else None,
    )
