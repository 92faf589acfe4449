"""compare.html: two jobs side by side, from their reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byoc.debugger.report.html.findings import badge
from byoc.debugger.report.html.learning import STEP
from byoc.debugger.report.html.overview import Report
from byoc.html import parts
from byoc.html.bars import Counted, histogram
from byoc.html.document import document
from byoc.html.element import Html, tag
from byoc.html.lines import COLOURS, line_plot
from byoc.html.plot import side_by_side
from byoc.html.text import NOTHING, duration, measured, moment, number, percent

Pair = tuple[Report, Report]
Drawn = list[Html | None]


def render_pair(first: Report, second: Report) -> str:
    """Two reports' content as one page."""
    pair = first, second
    sections = [
        parts.section(place, name, title, draw(pair))
        for place, (name, title, draw) in enumerate(_SECTIONS, start=1)
    ]
    contents = [(name, title) for name, title, _ in _SECTIONS]
    one, two = names(pair)
    return document(
        "Two jobs", f"{one} and {two}", contents, sections, f"Made by {first['made_by']}."
    )


def names(pair: Pair) -> tuple[str, str]:
    """Of the jobs; A and B before them where they are the same."""
    one, two = (str(report["job"]["name"]) for report in pair)
    return (f"A {one}", f"B {two}") if one == two else (one, two)


def _table(pair: Pair, rows: list[list[Any]], caption: str, head: str = "") -> Html | None:
    return parts.table((head, *names(pair)), rows, caption)


def _jobs(pair: Pair) -> Drawn:
    rows: list[tuple[str, Callable[[Report], str]]] = [
        ("Started", lambda report: moment(report["job"]["start"])),
        ("Took", lambda report: duration(report["job"]["seconds"])),
        ("Steps", lambda report: number((report["steps"]["seconds"] or {}).get("samples"))),
        ("Steps a second", lambda report: number(report["steps"]["per_second"])),
        ("Rules that fired", lambda report: number(report["rules"]["counts"]["fired"])),
        ("GPU utilization, P95", lambda report: measured(report["batch_size"]["gpu_p95"], "%")),
        ("CPU utilization, P95", lambda report: measured(report["batch_size"]["cpu_p95"], "%")),
        ("Waiting for data", lambda report: percent(report["io_bottlenecks"]["data_loading"])),
        ("Padding", lambda report: percent(report["padding"]["share"])),
    ]
    return [_table(pair, [[title, *map(value, pair)] for title, value in rows], "The jobs")]


def _differences(pair: Pair) -> Drawn:
    found: Drawn = []
    for key, title in (("hyperparameters", "Hyperparameters"), ("facts", "What ran")):
        one, two = (report["job"][key] for report in pair)
        known = [*one, *(name for name in two if name not in one)]
        rows = [
            [name, _shown(one, name), _shown(two, name)]
            for name in known
            if one.get(name) != two.get(name)
        ]
        same = len(known) - len(rows)
        found.append(tag("h3", title))
        found.append(
            parts.table((title, *names(pair)), rows, f"{title} that differ")
            or tag("p", "None differs." if known else "None is known.", class_="muted")
        )
        if rows and same:
            found.append(tag("p", f"{number(same)} more are the same in both.", class_="caption"))
    return found


def _shown(content: dict[str, Any], name: str) -> str:
    return str(content[name]) if name in content else NOTHING


def _metrics(pair: Pair) -> Drawn:
    one, two = (report["job"]["metrics"] for report in pair)
    rows = []
    for name in [*one, *(name for name in two if name not in one)]:
        values = one.get(name), two.get(name)
        if all(value is None or isinstance(value, int | float) for value in values):
            known = None not in values
            change = f"{values[1] - values[0]:+.4g}" if known else NOTHING
            rows.append([name, number(values[0], 4), number(values[1], 4), change])
    table = parts.table(("Metric", *names(pair), "difference"), rows, "Metrics")
    return [table or tag("p", "No metrics are known.", class_="muted")]


def _curves(pair: Pair) -> Drawn:
    """A plot for each curve that either job has, both jobs in it."""
    drawn = []
    for key in ("loss", "metrics", "learning_rate"):
        lines = [{line["name"]: line for line in report["curves"][key]} for report in pair]
        for name in [*lines[0], *(name for name in lines[1] if name not in lines[0])]:
            both = [
                (found[name] | {"name": job}, colour)
                for found, job, colour in zip(lines, names(pair), COLOURS, strict=False)
                if name in found
            ]
            curves, colours = zip(*both, strict=True)
            plot = line_plot(name, curves, x_title=STEP, colours=colours)
            drawn.append(plot.render() if plot else None)
    if not any(drawn):
        return [tag("p", "Neither job has curves.", class_="muted")]
    return [side_by_side(*drawn)]


def _steps(pair: Pair) -> Drawn:
    known = [
        (job, report["steps"])
        for job, report in zip(names(pair), pair, strict=True)
        if report["steps"]["seconds"]
    ]
    if not known:
        return [tag("p", "Neither job has step durations.", class_="muted")]
    keys = ("max", "p99", "p95", "p50", "min", "mean")
    rows = [[job, *(duration(found["seconds"][key]) for key in keys)] for job, found in known]
    counted = [
        Counted(
            job,
            found["histogram"]["edges"],
            found["histogram"]["counts"],
            found["histogram"]["scale"] == "log",
        )
        for job, found in known
    ]
    plot = histogram("How long steps take", counted, duration, "step duration")
    plot.caption = "Shares of each job's steps." if len(known) > 1 else ""
    return [
        parts.table(("Job", "max", "P99", "P95", "P50", "min", "mean"), rows, "Step durations"),
        plot.render(),
        _phases(pair),
    ]


def _phases(pair: Pair) -> Html | None:
    found = [{p["name"]: p for p in report["framework"]["phases"]} for report in pair]
    known = [*found[0], *(name for name in found[1] if name not in found[0])]
    rows = [
        [
            name,
            *(
                f"{duration(phases[name]['seconds'])} · {percent(phases[name]['share'])}"
                if name in phases
                else NOTHING
                for phases in found
            ),
        ]
        for name in known
    ]
    return _table(pair, rows, "Time by phase", "Phase")


def _system(pair: Pair) -> Drawn:
    found = [
        {(row["node"], row["title"]): row for row in report["system"]["statistics"]}
        for report in pair
    ]
    known = [*found[0], *(key for key in found[1] if key not in found[0])]
    several = len({node for node, _ in known}) > 1
    rows = [
        [
            f"{node} {title}" if several else title,
            *(
                measured(rows_[node, title][key], rows_[node, title]["unit"])
                if (node, title) in rows_
                else NOTHING
                for key in ("p50", "p95")
                for rows_ in found
            ),
        ]
        for node, title in known
    ]
    one, two = names(pair)
    heads = ("Metric", f"P50 {one}", f"P50 {two}", f"P95 {one}", f"P95 {two}")
    return [
        parts.table(heads, rows, "System usage")
        or tag("p", "Neither job has system metrics.", class_="muted")
    ]


def _gradients(pair: Pair) -> Drawn:
    found = [
        {layer["name"]: layer["statistics"]["p50"] for layer in report["gradients"]["layers"]}
        for report in pair
    ]
    known = [*found[0], *(name for name in found[1] if name not in found[0])]
    rows = [[name, *(number(medians.get(name)) for medians in found)] for name in known]
    return [
        _table(pair, rows, "Median gradient norms", "Layer")
        or tag("p", "Neither job has gradients.", class_="muted")
    ]


def _rules(pair: Pair) -> Drawn:
    found = [{rule["rule"]: rule for rule in report["rules"]["results"]} for report in pair]
    known = [*found[0], *(name for name in found[1] if name not in found[0])]
    rank = {"fired": 0, "quiet": 1, "not evaluated": 2}
    known.sort(key=lambda name: min(rank[f[name]["status"]] for f in found if name in f))
    rows = [[name, *(_said(rules.get(name)) for rules in found)] for name in known]
    return [
        parts.table(("Rule", *names(pair)), rows, "Rules", words=3)
        or tag("p", "No rule was evaluated.", class_="muted")
    ]


def _said(rule: dict[str, Any] | None) -> Html | str:
    if rule is None:
        return NOTHING
    what = rule["findings"][0]["what"] if rule["findings"] else ""
    return tag("span", badge(rule["status"]), tag("small", what) if what else None)


_SECTIONS: tuple[tuple[str, str, Callable[[Pair], Drawn]], ...] = (
    ("jobs", "The jobs", _jobs),
    ("differences", "What differs", _differences),
    ("metrics", "Metrics", _metrics),
    ("curves", "Loss and metrics", _curves),
    ("steps", "Step time", _steps),
    ("system", "System usage", _system),
    ("gradients", "Gradient norms by layer", _gradients),
    ("rules", "Rules", _rules),
)
