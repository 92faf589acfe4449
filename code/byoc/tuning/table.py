"""What a tuning shows: a live table in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from byoc.tuning.ranges import short_text
from byoc.tuning.results import TrialResult, TuningResult

ROWS = 20
"""The table shows so many trials, the newest; the best one is told of above it."""

_STYLES = {"Completed": "", "InProgress": "cyan", "Pruned": "dim", "Stopped": "yellow"}


def short(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def values_text(trial: TrialResult) -> str:
    """``lr=3.1e-05 batch-size=32``."""
    return " ".join(f"{name}={short_text(text)}" for name, text in trial.values.items())


def headline(result: TuningResult) -> str:
    """``tune-1: InProgress, 5 of 12 trials; best val_mcc 0.5312 (trial 3)``."""
    ended = len(result.trials) - result.count("InProgress")
    text = f"{result.name}: {result.status}, {ended} of {result.jobs} trials"
    others = [
        f"{count} {status.lower()}"
        for status in ("Pruned", "Stopped", "Failed")
        if (count := result.count(status))
    ]
    text += f" ({', '.join(others)})" if others else ""
    if result.best is not None:
        text += f"; best {result.objective} {short(result.best.value)} (trial {result.best.number})"
    return text


def line(result_objective: str, trial: TrialResult) -> str:
    """One trial in one line."""
    value = f" {result_objective}={short(trial.value)}" if trial.value is not None else ""
    seconds = f" ({trial.seconds(time.time()):.0f} s)" if trial.started else ""
    cause = f": {trial.cause}" if trial.cause else ""
    return f"trial {trial.number}: {trial.status}{value} {values_text(trial)}{seconds}{cause}"


def table(result: TuningResult) -> Table:
    """The newest trials, with the headline above them."""
    names = list(dict.fromkeys(name for it in result.trials for name in it.values))
    found = Table(title=headline(result), title_justify="left", caption_justify="left")
    for name in ("trial", "status", result.objective, "epoch", *names, "seconds", "cause"):
        right = name in ("trial", result.objective, "epoch", "seconds")
        found.add_column(name, justify="right" if right else "left", overflow="ellipsis")
    hidden = len(result.trials) - ROWS
    if hidden > 0:
        found.caption = f"{hidden} earlier trials are not shown"
    best = result.best.number if result.best else None
    for it in result.trials[-ROWS:]:
        style = "bold green" if it.number == best else _STYLES.get(it.status, "red")
        found.add_row(
            str(it.number),
            it.status,
            short(it.value),
            str(max(it.curve, default="")),
            *(short_text(it.values.get(name, "")) for name in names),
            f"{it.seconds(time.time()):.0f}" if it.started else "",
            it.cause,
            style=style,
        )
    return found


class Lines:
    """A line for each trial that has begun and for each that has ended."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: dict[int, str] = {}

    def __call__(self, result: TuningResult) -> None:
        for it in result.trials:
            if self._known.get(it.number) != it.status:
                self._known[it.number] = it.status
                self._say(line(result.objective, it))


class LiveTable:
    """The table, drawn anew at each change; use it as a context."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, result: TuningResult) -> None:
        self._live.update(table(result), refresh=True)
