"""Section 2: every node's and device's metrics: statistics, timeline, heat map."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from byoc.debugger.report.clock import Clock
from byoc.debugger.report.metrics import device_of, key_of, metric_of
from byoc.debugger.report.numbers import curve, statistics
from byoc.debugger.run import Phases, Run, Series

MOST_LINES = 6
"""More devices of a metric than these are drawn as one line and the band that holds them all."""

HEAT_COLUMNS = 240
_BANDS = ("Initialization", "Validation", "Checkpoint", "Finalization")
_MOST_BANDS = 400


def system_section(run: Run, clock: Clock) -> dict[str, Any]:
    groups = _groups(run.system)
    return {
        "statistics": [
            {"node": node, "kind": key[0], "metric": key[1], **_labels(key), **_overall(found)}
            for (node, key), found in groups.items()
        ],
        "timeline": _timeline(groups, clock),
        "bands": _bands(run.phases, clock),
        "heat": _heat(run.system, clock),
    }


Groups = dict[tuple[str, tuple[str, str]], list[Series]]


def _groups(system: list[Series]) -> Groups:
    """Series by node and metric, in the order in which they are shown."""
    groups: Groups = defaultdict(list)
    for series in system:
        if len(series.times):
            groups[series.node, key_of(series)].append(series)
    return dict(
        sorted(groups.items(), key=lambda item: (item[0][0], metric_of(item[0][1]).rank, item[0]))
    )


def _labels(key: tuple[str, str]) -> dict[str, str]:
    metric = metric_of(key)
    return {"title": metric.title, "unit": metric.unit}


def _overall(found: list[Series]) -> dict[str, Any]:
    """Of a node's whole: a sample of all devices at one time counts as their mean."""
    lengths = {len(series.values) for series in found}
    if len(lengths) == 1:
        values = np.mean([series.values for series in found], axis=0)
    else:
        values = np.concatenate([series.values for series in found])
    return {"devices": len(found), **statistics(np.asarray(values, dtype=np.float64))}


def _timeline(groups: Groups, clock: Clock) -> list[dict[str, Any]]:
    """A row for each metric, all nodes in it."""
    rows: dict[tuple[str, str], list[tuple[str, list[Series]]]] = defaultdict(list)
    for (node, key), found in groups.items():
        rows[key].append((node, found))
    several = len({node for node, _ in groups}) > 1
    timeline = []
    for key in sorted(rows, key=lambda key: (metric_of(key).rank, key)):
        lines = []
        crowded = sum(len(found) for _, found in rows[key]) > MOST_LINES
        for node, found in rows[key]:
            prefix = f"{node} " if several else ""
            if key[0] == "cpu" or crowded:
                lines.append(_band(f"{prefix}{_all_of(found)}", found, clock))
                continue
            for series in found:
                name = f"{prefix}{device_of(series)}".strip() or node
                lines.append(_line(name, [series], clock))
        row = {"kind": key[0], "metric": key[1], **_labels(key), "lines": lines}
        timeline.append(row)
    return timeline


def _all_of(found: list[Series]) -> str:
    names = sorted(device_of(series) for series in found)
    return names[0] if len(names) == 1 else f"mean of {len(names)} {found[0].kind}s"


def _line(name: str, found: list[Series], clock: Clock) -> dict[str, Any]:
    x = np.concatenate([series.times for series in found]) - clock.start
    y = np.concatenate([series.values for series in found])
    return curve(name, x, np.asarray(y, dtype=np.float64))


def _band(name: str, found: list[Series], clock: Clock) -> dict[str, Any]:
    """One line of several devices: their mean, lowest and highest, at each of their times."""
    if len(found) == 1 or len({len(series.times) for series in found}) > 1:
        return _line(name, found, clock)
    # Taken at one time, or a few milliseconds apart.
    values = np.asarray([series.values for series in found], dtype=np.float64)
    x = np.asarray(found[0].times, dtype=np.float64) - clock.start
    line = curve(name, x, values.mean(axis=0))
    extremes = (
        curve("", x, values.min(axis=0)).get("low", values.min(axis=0)),
        curve("", x, values.max(axis=0)).get("high", values.max(axis=0)),
    )
    if len(extremes[0]) == len(line["x"]) == len(extremes[1]):
        line["low"], line["high"] = extremes
    line["samples"] = values.size
    return line


def _bands(phases: Phases | None, clock: Clock) -> list[dict[str, Any]]:
    """The first node's long phases, for the background of the timeline."""
    if phases is None or not len(phases.names):
        return []
    node = phases.nodes[0]
    found = []
    for name in _BANDS:
        chosen = np.flatnonzero((phases.names == name) & (phases.nodes == node))
        for place in chosen[:_MOST_BANDS]:
            start = float(phases.starts[place]) - clock.start
            found.append({"name": name, "start": start, "end": start + phases.seconds[place]})
    return sorted(found, key=lambda band: float(band["start"]))


def _heat(system: list[Series], clock: Clock) -> dict[str, Any] | None:
    """Mean utilization of each core and GPU by column of time, per cent in whole numbers."""
    found = [
        series
        for series in system
        if key_of(series) in (("cpu", "CPUUtilization"), ("gpu", "GPUUtilization"))
        and len(series.times)
    ]
    if not found or clock.seconds <= 0:
        return None
    several = len({series.node for series in found}) > 1
    most = max(len(series.times) for series in found)
    columns = min(HEAT_COLUMNS, most)
    rows = []
    for series in sorted(found, key=lambda series: (series.node, series.kind, _number(series))):
        name = f"{series.node} {series.name}" if several else series.name
        rows.append({"name": name, "values": _row(series, clock, columns)})
    return {"columns": columns, "seconds": clock.seconds, "rows": rows}


def _row(series: Series, clock: Clock, columns: int) -> list[int | None]:
    x = np.asarray(series.times, dtype=np.float64) - clock.start
    values = np.asarray(series.values, dtype=np.float64)
    good = np.isfinite(values) & (x >= 0) & (x <= clock.seconds)
    # The two ends of the clock, so that all rows share its columns.
    places = np.minimum((x[good] / clock.seconds * columns).astype(np.int64), columns - 1)
    sums = np.bincount(places, values[good], columns)
    counts = np.bincount(places, minlength=columns)
    return [
        round(total / count) if count else None for total, count in zip(sums, counts, strict=True)
    ]


def _number(series: Series) -> tuple[str, int]:
    digits = "".join(letter for letter in series.name if letter.isdigit())
    return series.name.rstrip("0123456789"), int(digits or 0)
