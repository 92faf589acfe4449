"""What an epoch costs as the rows grow, and as the texts grow longer: figures and a plot.

An epoch's time is extrapolated from a few of its steps, spread over the lengths that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from byoc.bench.training_data import prepared, repeat, table, write_table
from byoc.bench.training_paths import Ours

ROWS = (1_000, 10_000, 100_000)
LENGTHS = (16, 64, 256)
LENGTHS_ROWS = 10_000
_BATCH = 32


@dataclass(frozen=True)
class Cost:
    """``rows`` of ``length`` tokens (None: as the sentences are); ``seconds`` for ``epoch_steps``
    steps, told from ``steps`` of them."""

    rows: int
    length: int | None
    steps: int
    epoch_steps: int
    seconds: float


def by_rows(scratch: Path, channels: Mapping[str, Path], steps: int) -> Iterator[Cost]:
    """Sentences as they are, over and over."""
    for rows in ROWS:
        repeat(channels["train"], rows, scratch / f"rows-{rows}")
        yield _cost(scratch, channels, rows, None, steps)


def by_length(scratch: Path, channels: Mapping[str, Path], steps: int) -> Iterator[Cost]:
    """Sentences joined until each row has more tokens than ``length``, where it is cut."""
    sentences = list(table(channels["train"]).rows())
    for length in LENGTHS:
        texts = cycle(row.text for row in sentences)
        labels = islice(cycle(row.label for row in sentences), 2 * _BATCH)
        # A word is a token at least.
        rows = ((_long(texts, length), label) for label in labels)
        write_table(scratch / f"length-{length}", rows)
        yield _cost(scratch, channels, LENGTHS_ROWS, length, max(1, steps * 16 // length // 2))


def _long(texts: Iterator[str], words: int) -> str:
    text = next(texts)
    while text.count(" ") < words:
        text += " " + next(texts)
    return text


def _cost(
    scratch: Path, channels: Mapping[str, Path], rows: int, length: int | None, steps: int
) -> Cost:
    name = f"rows-{rows}" if length is None else f"length-{length}"
    hyperparameters = {
        "max-length": str(length or 256),
        "batch-size": str(_BATCH),
        "epochs": "100",
        "precision": "32",
    }
    job = prepared(scratch / f"job-{name}", {**channels, "train": scratch / name}, hyperparameters)
    run = Ours(job).run(steps, 0)
    epoch_steps = -(-rows // _BATCH)
    return Cost(rows, length, steps, epoch_steps, run.seconds / steps * epoch_steps)


def plot(rows: list[Cost], lengths: list[Cost], path: Path) -> None:
    """Both as PNG, on double logarithmic axes with a line that would be linear growth."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    panels = (
        (rows, [cost.rows for cost in rows], "rows (sentences as they are)"),
        (lengths, [cost.length or 0 for cost in lengths], f"tokens a row ({LENGTHS_ROWS:,} rows)"),
    )
    for axis, (costs, places, name) in zip(axes, panels, strict=True):
        seconds = [cost.seconds for cost in costs]
        linear = [seconds[0] * place / places[0] for place in places]
        axis.loglog(places, linear, "--", color="0.6", label="linear")
        axis.loglog(places, seconds, "o-", color="tab:blue", label="measured, extrapolated")
        axis.set_xticks(places, [f"{place:,}" for place in places], minor=False)
        axis.minorticks_off()
        axis.set_xlabel(name)
        axis.set_ylabel("seconds an epoch")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
