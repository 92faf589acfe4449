"""report.html: its sections, in order."""

from __future__ import annotations

from collections.abc import Callable

from byoc.debugger.report.html import learning, overview, profile
from byoc.debugger.report.html.overview import Report
from byoc.html.document import document
from byoc.html.element import Html
from byoc.html.parts import section

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
