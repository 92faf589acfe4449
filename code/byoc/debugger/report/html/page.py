"""The document: head, contents, sections, style and the little script, all in one file."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from byoc.debugger.report.html import learning, overview, profile
from byoc.debugger.report.html.element import Html, join, tag
from byoc.debugger.report.html.overview import Report
from byoc.debugger.report.html.parts import section

SECTIONS: tuple[tuple[str, str, Callable[[Report], list[Html | None]]], ...] = (
    ("job", "Training job", overview.job),
    ("system", "System usage", overview.system),
    ("framework", "Framework metrics", overview.framework),
    ("rules", "Rules", overview.rules),
    ("steps", "Step durations", profile.steps),
    ("gpu_utilization", "GPU utilization", profile.gpu_utilization),
    ("batch_size", "Batch size", profile.batch_size),
    ("cpu_bottlenecks", "CPU bottlenecks", profile.cpu_bottlenecks),
    ("io_bottlenecks", "I/O bottlenecks", profile.io_bottlenecks),
    ("load_balancing", "Load balancing", profile.load_balancing),
    ("gpu_memory", "GPU memory", profile.gpu_memory),
    ("curves", "Loss and metrics", learning.curves),
    ("gradients", "Gradient norms by layer", learning.gradients),
    ("padding", "Padding waste", learning.padding),
)
"""The first eleven in the order of AWS's profiler report, then ours."""


def render(report: Report) -> str:
    """report.html of report.json's content."""
    contents = [(name, title) for name, title, _ in SECTIONS]
    sections = [
        section(place, name, title, draw(report))
        for place, (name, title, draw) in enumerate(SECTIONS, start=1)
    ]
    made = f"Made by {report['made_by']}. The numbers: report.json."
    return document("Debugger report", str(report["job"]["name"]), contents, sections, made)


def document(
    kind: str,
    name: str,
    contents: list[tuple[str, str]],
    sections: list[Html],
    made: str,
) -> str:
    """``made``: the last line, by whom."""
    links = [tag("li", tag("a", title, href=f"#{target}")) for target, title in contents]
    body = join(
        (
            tag("header", tag("p", kind, class_="kind"), tag("h1", name)),
            tag("nav", tag("ol", links), aria_label="Contents"),
            tag("main", sections),
            tag("footer", tag("p", made)),
        )
    )
    head = join(
        (
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            # Nothing is fetched, whatever a job's texts may hold.
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("title", f"{kind}: {name}"),
            tag("style", Html(_file("style.css"))),
        )
    )
    script = tag("script", Html(_file("readout.js")))
    page = tag("html", tag("head", head), tag("body", body, script), lang="en")
    return f"<!doctype html>\n{page}\n"


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
