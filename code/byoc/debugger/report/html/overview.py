"""Sections 1 to 4: the job, its system, its framework's time, the rules."""

from __future__ import annotations

from typing import Any

from byoc.debugger.report.html.findings import advice_of, badge, findings
from byoc.debugger.report.html.heat import heat_map
from byoc.debugger.report.html.timeline import timeline
from byoc.html import parts
from byoc.html.bars import Bar, bar_list
from byoc.html.element import Html, tag
from byoc.html.lines import COLOURS
from byoc.html.text import NOTHING, duration, measured, moment, number, percent

Report = dict[str, Any]

PART_NAMES = {"TrainLoop": "Training loop"}
_PART_COLOURS = {"Initialization": COLOURS[1], "TrainLoop": COLOURS[0], "Finalization": COLOURS[2]}
_OTHER = "var(--band-a)"


def job(report: Report) -> list[Html | None]:
    found = report["job"]
    tiles = [
        ("Started", moment(found["start"])),
        ("Ended", moment(found["end"])),
        ("Took", duration(found["seconds"])),
        ("Steps", number((report["steps"]["seconds"] or {}).get("samples"))),
        ("Rules", _rules_in_short(report)),
    ]
    return [
        tag(
            "dl",
            [tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles],
            class_="tiles",
        ),
        stacked(found["parts"]),
        headlines(report),
        fired(report, "job"),
        parts.pairs(found["metrics"], "Metrics"),
        parts.pairs(found["facts"], "What ran"),
        parts.pairs(found["hyperparameters"], "Hyperparameters"),
        *(
            parts.pairs(content, name.replace("_", " ").capitalize())
            for name, content in found["tables"].items()
        ),
    ]


def _rules_in_short(report: Report) -> Html | str:
    counts = report["rules"]["counts"]
    if not report["rules"]["results"]:
        return "none ran"
    words = f"{counts['fired']} of {sum(counts.values())} fired"
    return tag("a", words, href="#rules", class_="fired" if counts["fired"] else "quiet")


def stacked(found: list[dict[str, Any]]) -> Html | None:
    """The job's parts as one bar, with their names, times and shares."""
    if not found:
        return None
    bar = [
        tag("i", style=f"flex:{part['share'] or 0};--colour:{_part_colour(part)}") for part in found
    ]
    keys = [
        tag(
            "li",
            tag("i", class_="key area", style=f"--colour:{_part_colour(part)}"),
            f"{PART_NAMES.get(part['name'], part['name'])} {duration(part['seconds'])}, "
            f"{percent(part['share'])}",
        )
        for part in found
    ]
    return tag(
        "figure",
        tag("figcaption", "Time by part"),
        tag("div", bar, class_="stacked", aria_hidden="true"),
        tag("ul", keys, class_="legend"),
        class_="plot",
    )


def _part_colour(part: dict[str, Any]) -> str:
    return _PART_COLOURS.get(part["name"], _OTHER)


def headlines(report: Report) -> Html | None:
    """Every rule that fired, in a line that leads to its section."""
    found = fired_rules(report)
    if not found:
        return None
    lines = [
        tag(
            "li",
            tag("a", rule["rule"], href=f"#{rule['section']}"),
            " ",
            rule["findings"][0]["what"] if rule["findings"] else rule["looks_for"],
        )
        for rule in found
    ]
    return tag("div", tag("h3", "What the rules found"), tag("ul", lines, class_="headlines"))


def fired_rules(report: Report) -> list[dict[str, Any]]:
    """Without ProfilerReport, whose findings are those of the other rules."""
    return [
        rule
        for rule in report["rules"]["results"]
        if rule["status"] == "fired" and rule["rule"] != "ProfilerReport"
    ]


def fired(report: Report, *sections: str) -> Html | None:
    """The findings of the rules that belong to these sections."""
    found = [findings(rule) for rule in fired_rules(report) if rule["section"] in sections]
    return tag("div", found, class_="findings") if found else None


def system(report: Report) -> list[Html | None]:
    found = report["system"]
    if not found["statistics"]:
        return [tag("p", "No system metrics were saved.", class_="muted")]
    several = len({row["node"] for row in found["statistics"]}) > 1
    rows = [
        [
            f"{row['node']} {row['title']}" if several else row["title"],
            *(measured(row[name], row["unit"]) for name in ("max", "p99", "p95", "p50", "min")),
        ]
        for row in found["statistics"]
    ]
    heat = found["heat"]
    return [
        parts.table(("Metric", "max", "P99", "P95", "P50", "min"), rows, "Usage, all devices"),
        fired(report, "system"),
        *timeline(report),
        heat_map(
            "Utilization of cores and GPUs",
            heat,
            f"Each cell is the mean of {duration(heat['seconds'] / heat['columns'])}.",
        )
        if heat
        else None,
    ]


def framework(report: Report) -> list[Html | None]:
    found = report["framework"]
    if not found["phases"] and not any(found["operators"].values()):
        return [
            tag("p", "No phases and no operators were saved.", class_="muted"),
            fired(report, "framework"),
        ]
    return [
        fired(report, "framework"),
        phase_bars(found["phases"]),
        tag(
            "div",
            operator_bars("Top CPU operators", found["operators"]["cpu"], COLOURS[0]),
            operator_bars("Top GPU operators", found["operators"]["gpu"], COLOURS[1]),
            class_="columns",
        ),
    ]


def phase_bars(phases: list[dict[str, Any]]) -> Html | None:
    """A step's parts under the step, the others beside it, the longest first."""
    outer = [phase for phase in phases if not phase["within"]]
    inner = [phase for phase in phases if phase["within"]]
    if inner:
        whole = sum(phase["seconds"] for phase in inner)
        share = sum(phase["share"] or 0 for phase in inner)
        outer.append({"name": "Steps", "seconds": whole, "share": share, "within": None})
    bars = []
    for phase in sorted(outer, key=lambda phase: -float(phase["seconds"])):
        bars.append(_phase_bar(phase))
        if phase["name"] == "Steps":
            bars += [_phase_bar(part) for part in inner]
    return bar_list(
        "Time by phase",
        bars,
        "Shares of the whole job's time; a step's parts are indented. Mean over nodes, by the "
        "host's clock.",
    )


def _phase_bar(phase: dict[str, Any]) -> Bar:
    inset = bool(phase["within"])
    words = f"{duration(phase['seconds'])} · {percent(phase['share'])}"
    colour = COLOURS[5] if inset else COLOURS[0]
    return Bar(phase["name"], phase["share"] or 0, words, colour, inset=inset)


def operator_bars(title: str, operators: list[dict[str, Any]], colour: str) -> Html | None:
    most = max((operator["share"] or 0 for operator in operators), default=0) or 1
    bars = [
        Bar(
            operator["name"],
            (operator["share"] or 0) / most,
            f"{duration(operator['seconds'])} · {percent(operator['share'])} · "
            f"{number(operator['calls'])} calls",
            colour,
        )
        for operator in operators
    ]
    return bar_list(
        title,
        bars,
        "Of the profiled steps: time of its own, share of all operators, calls.",
        code=True,
    )


def rules(report: Report) -> list[Html | None]:
    results = report["rules"]["results"]
    if not results:
        return [tag("p", "No rule was evaluated.", class_="muted")]
    rows = [
        [
            tag("span", rule["rule"], id=f"rule-{rule['rule']}"),
            badge(rule["status"]),
            tag("span", _about(rule), class_="about"),
            number(rule["fired"]) if rule["status"] != "not evaluated" else NOTHING,
            number(rule["evaluated"]),
        ]
        for rule in results
    ]
    counts = report["rules"]["counts"]
    said = (
        f"{counts['fired']} fired, {counts['quiet']} quiet, {counts['not evaluated']} not "
        f"evaluated. Parameter set: {', '.join(report['rules']['sets'])}."
    )
    return [
        tag("p", said),
        parts.table(
            ("Rule", "Status", "Looks for, and what to do", "Fired", "Looked at"),
            rows,
            "Rules",
            words=3,
            stacks=True,
        ),
        _parameters(results),
        fired(report, "rules"),
    ]


def _about(rule: dict[str, Any]) -> list[Html | str]:
    if rule["status"] == "not evaluated":
        return [rule["looks_for"], tag("small", rule["reason"])]
    if rule["status"] == "quiet":
        return [rule["looks_for"]]
    found = rule["findings"]
    first = found[0]["what"] if found else rule["looks_for"]
    return [first, tag("small", advice_of(rule))]


def _parameters(results: list[dict[str, Any]]) -> Html:
    rows = [
        [rule["rule"], ", ".join(f"{name}={value}" for name, value in rule["parameters"].items())]
        for rule in results
        if rule["parameters"]
    ]
    found = parts.table(("Rule", "Parameters"), rows, "Parameters", words=2)
    return tag("details", tag("summary", "Parameters of the rules"), found)
