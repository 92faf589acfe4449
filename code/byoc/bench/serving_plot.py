"""Curves of latency over load, for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from byoc.bench.serving_load import Load


def plot(curves: Mapping[str, Mapping[int, Load]], target: Path) -> None:
    """For each server its loads by concurrency: latency on the left, throughput on the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for name, loads in curves.items():
        (line,) = left.plot(list(loads), [it.p50 for it in loads.values()], "o-", label=name)
        colour = line.get_color()
        left.plot(list(loads), [it.p99 for it in loads.values()], "--", color=colour, alpha=0.6)
        right.plot(list(loads), [it.rate for it in loads.values()], "o-", color=colour, label=name)
        failed = {at: it for at, it in loads.items() if it.failed}
        left.plot(list(failed), [it.p50 for it in failed.values()], "x", color=colour, ms=12)
    left.set_ylabel("latency, ms (solid: P50, dashed: P99, cross: some refused)")
    right.set_ylabel("requests a second")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(
            [1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"]
        )
        axes.set_xlabel("requests at a time")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
