"""Sections 5 to 11: step durations, GPUs, batch size, bottlenecks, balance, memory."""

from __future__ import annotations

from typing import Any

from byoc.debugger.report.html.overview import Report, fired
from byoc.html import parts
from byoc.html.bars import Bar, Counted, bar_list, histogram
from byoc.html.element import Html, tag
from byoc.html.lines import COLOURS, dots, line_plot
from byoc.html.plot import UNITS, Key, side_by_side
from byoc.html.scale import clock_words, percent_words
from byoc.html.text import duration, measured, number, percent, size

_MOST_BARS = 64


def steps(report: Report) -> list[Html | None]:
    found = report["steps"]
    if not found["seconds"]:
        return [tag("p", "No step durations were saved.", class_="muted"), fired(report, "steps")]
    heads = ("", "max", "P99", "P95", "P50", "min", "mean")
    row = [duration(found["seconds"][name]) for name in ("max", "p99", "p95", "p50", "min", "mean")]
    return [
        fired(report, "steps"),
        parts.notes(found["notes"]),
        parts.table(heads, [["Step duration", *row]], "Step durations"),
        side_by_side(_over_time(found), _spread(found)),
    ]


def _spread(found: dict[str, Any]) -> Html:
    given = found["histogram"]
    counted = Counted("Steps", given["edges"], given["counts"], given["scale"] == "log")
    caption = "The axis is logarithmic. " if counted.logarithmic else ""
    plot = histogram("How long steps take", [counted], duration, "step duration", caption)
    durations = found["outliers"]["durations"]
    if durations:
        # A bin with one step in thousands is too low to be seen: ticks below show it.
        marks = [(plot.across(value), UNITS - 12.0) for value in durations]
        plot.marks.append(dots(marks, "--colour:var(--fired)"))
        plot.legend = [
            Key("steps", COLOURS[0], "area"),
            Key("outliers", "var(--fired)", "dot"),
        ]
    return plot.render()


def _over_time(found: dict[str, Any]) -> Html | None:
    plot = line_plot(
        "Step duration over time",
        [found["over_time"]],
        x_title="optimizer step",
        y_words=duration,
        from_zero=True,
    )
    outliers = found["outliers"]
    if plot is None:
        return None
    if outliers["durations"]:
        points = [
            plot.at(step, seconds)
            for step, seconds in zip(outliers["steps"], outliers["durations"], strict=True)
        ]
        plot.marks.append(dots(points, "--colour:var(--fired)"))
        plot.legend = [
            Key("step duration", COLOURS[0]),
            Key("outliers", "var(--fired)", "dot"),
        ]
    shown = len(outliers["durations"])
    plot.caption += (
        f" Outliers: longer than {duration(outliers['threshold'])}, the mean and three standard "
        "deviations"
    )
    plot.caption += (
        f"; the longest {shown} of {number(outliers['count'])} are marked."
        if (outliers["count"] > shown)
        else "."
    )
    return plot.render()


def gpu_utilization(report: Report) -> list[Html | None]:
    found = report["gpu_utilization"]
    return [
        fired(report, "gpu_utilization"),
        parts.notes(found["notes"]),
        device_bars("GPU utilization", found["devices"]),
    ]


def device_bars(title: str, devices: list[dict[str, Any]]) -> Html | None:
    """Each device's mean as a bar, from its 5th to its 95th percentile as a thin line."""
    several = len({device["node"] for device in devices}) > 1
    bars = [
        Bar(
            f"{device['node']} {device['name']}" if several else device["name"],
            device["mean"] / 100,
            f"{measured(device['mean'], '%')} · P95 {measured(device['p95'], '%')}",
            low=device["p5"] / 100,
            high=device["p95"] / 100,
        )
        for device in devices[:_MOST_BARS]
        if device["mean"] is not None
    ]
    caption = "The bar is the mean, the thin line reaches from the 5th to the 95th percentile."
    if len(devices) > _MOST_BARS:
        caption += f" The first {_MOST_BARS} of {len(devices)}."
    return bar_list(title, bars, caption)


def batch_size(report: Report) -> list[Html | None]:
    found = report["batch_size"]
    filled = found["filled"]
    rows = [
        ("Batch size", number(found["batch_size"])),
        ("CPU utilization, P95", measured(found["cpu_p95"], "%")),
        ("GPU utilization, P95", measured(found["gpu_p95"], "%")),
        ("GPU memory, peak", size(found["peak_memory"])),
        ("GPU memory, total", size(found["total_memory"])),
        ("GPU memory, filled at the peak", percent(filled)),
        ("A batch size that fits", number(found["fits"])),
    ]
    known = [row for row in rows if row[1] != number(None)]
    return [
        fired(report, "batch_size"),
        parts.notes(found["notes"]),
        parts.table(("", "value"), known, "Batch size and use")
        if found["gpu_p95"] is not None
        else None,
    ]


def cpu_bottlenecks(report: Report) -> list[Html | None]:
    found = report["cpu_bottlenecks"]
    return [
        fired(report, "cpu_bottlenecks"),
        parts.notes(found["notes"]),
        _waiting(
            found,
            f"a core above {found['thresholds']['cpu']:g}%",
        ),
        device_bars("CPU utilization", found["cores"]),
    ]


def _waiting(found: dict[str, Any], meanwhile: str) -> Html | None:
    if found["gpu_idle"] is None:
        return None
    below = f"GPU below {found['thresholds']['gpu']:g}%"
    return bar_list(
        "Share of the time",
        [
            Bar(below, found["gpu_idle"], percent(found["gpu_idle"])),
            Bar(
                f"{below} and {meanwhile}", found["blocked"], percent(found["blocked"]), COLOURS[1]
            ),
        ],
        "Counted by the second.",
    )


def io_bottlenecks(report: Report) -> list[Html | None]:
    found = report["io_bottlenecks"]
    bars = []
    if found["data_loading"] is not None:
        bars.append(
            Bar(
                "Data loading, of the steps' time",
                found["data_loading"],
                percent(found["data_loading"]),
            )
        )
    if found["io_wait"]:
        wait = found["io_wait"]
        bars.append(
            Bar(
                "I/O wait of cores, mean",
                wait["mean"] / 100,
                measured(wait["mean"], "%"),
                COLOURS[1],
                wait["p5"] / 100,
                wait["p95"] / 100,
            )
        )
    return [
        fired(report, "io_bottlenecks"),
        parts.notes(found["notes"]),
        _waiting(found, f"I/O wait above {found['thresholds']['io']:g}%"),
        bar_list("Waiting for data", bars),
    ]


def load_balancing(report: Report) -> list[Html | None]:
    found = report["load_balancing"]
    title = "Utilization of GPUs" if found["of"] == "gpu" else "Utilization of cores"
    devices = sorted(found["devices"], key=lambda device: -(device["mean"] or 0))
    return [
        fired(report, "load_balancing"),
        parts.notes(found["notes"]),
        device_bars(f"{title}, the busiest first", devices) if len(devices) > 1 else None,
    ]


def gpu_memory(report: Report) -> list[Html | None]:
    found = report["gpu_memory"]
    title = "GPU memory used" if found["of"] == "gpu" else "Memory of the hosts used"
    plot = line_plot(
        title,
        found["lines"],
        x_words=clock_words,
        x_title="time since the start",
        x_range=(0, report["job"]["seconds"] or 1),
        y_words=percent_words,
        from_zero=True,
    )
    return [
        fired(report, "gpu_memory"),
        parts.notes(found["notes"]),
        plot.render() if plot else None,
    ]
