"""Pictures of a training: learning curves, confusion matrices, calibration, as PNG bytes."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from byoc.training.calibration import calibration
from byoc.training.history import History, Record
from byoc.training.outcome import Outcome, Scored

MOST_NAMED = 30
"""Classes whose names and numbers still fit beside a confusion matrix."""

_DOTS = 120


def pictures(outcome: Outcome) -> dict[str, bytes]:
    """PNG files by name; what cannot be drawn is left out, and one line says why."""
    drawings: dict[str, Callable[[], bytes]] = {}
    if outcome.history.epochs or len(outcome.history.steps) > 1:
        drawings["learning_curves.png"] = lambda: learning_curves(outcome.history)
    for split, scored in outcome.scored.items():
        drawings[f"{split}_confusion_matrix.png"] = lambda scored=scored, split=split: (  # type: ignore[misc]
            matrix_picture(scored, outcome.splits.names, split)
        )
        drawings[f"{split}_calibration.png"] = lambda scored=scored, split=split: (  # type: ignore[misc]
            reliability(scored, split)
        )
    found: dict[str, bytes] = {}
    with _own_folder():
        for name, draw in drawings.items():
            try:
                with warnings.catch_warnings():
                    # A label's script may be none that matplotlib's font has.
                    warnings.simplefilter("ignore")
                    found[name] = draw()
            except Exception as error:  # a picture is worth no job
                print(f"{name} is left out: {type(error).__name__}: {error}", flush=True)
    return found


@contextmanager
def _own_folder() -> Iterator[None]:
    """matplotlib keeps a list of fonts on disk, and the home folder may be read-only."""
    if "MPLCONFIGDIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="matplotlib-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


def learning_curves(history: History) -> bytes:
    """Losses by step, and the validation scores of each epoch."""
    figure = _figure(9, 3.6)
    losses, scores = figure.subplots(1, 2)
    losses.plot(*_points(history.steps, "train_loss"), color="C0", alpha=0.35, label="steps")
    for name, colour in (("train_loss", "C0"), ("val_loss", "C1")):
        losses.plot(*_points(history.epochs, name), color=colour, marker="o", label=name)
    losses.set(xlabel="optimizer step", ylabel="loss", title="Loss")
    for name in ("val_mcc", "val_accuracy", "val_f1"):
        scores.plot(*_points(history.epochs, name, "epoch"), marker="o", label=name)
    scores.set(xlabel="epoch", title="Validation")
    scores.xaxis.get_major_locator().set_params(integer=True)
    for axes in (losses, scores):
        axes.legend()
        axes.grid(alpha=0.3)
    return _png(figure)


def matrix_picture(scored: Scored, names: list[str], split: str) -> bytes:
    """The confusion matrix; the colours are shares of each label's rows."""
    matrix = scored.confusion_matrix()
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    size = min(12.0, 3.2 + 0.5 * len(names))
    figure = _figure(size + 0.8, size)
    axes = figure.subplots()
    figure.colorbar(axes.imshow(shares, vmin=0, vmax=1, cmap="Blues"), label="share of the label")
    axes.set(xlabel="prediction", ylabel="label", title=f"Confusion matrix, {split}")
    if len(names) <= MOST_NAMED:
        short = [name if len(name) <= 24 else name[:23] + "…" for name in names]
        axes.set_xticks(range(len(names)), short, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(names)), short, parse_math=False)
        for (row, column), count in zip(_cells(len(names)), matrix.flat, strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return _png(figure)


def reliability(scored: Scored, split: str) -> bytes:
    """Accuracy against confidence, and how many rows are how confident."""
    found = calibration(scored.probabilities, scored.labels)
    filled = [bin_ for bin_ in found.bins if bin_.rows]
    figure = _figure(4.8, 5.2)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect")
    axes.plot(
        [bin_.confidence for bin_ in filled],
        [bin_.accuracy for bin_ in filled],
        marker="o",
        label=f"ECE {found.error:.3f}, Brier {found.brier:.3f}",
    )
    axes.set(ylabel="accuracy", title=f"Calibration, {split}", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    centres = [(bin_.low + bin_.high) / 2 for bin_ in found.bins]
    counts.bar(centres, [bin_.rows for bin_ in found.bins], width=0.9 / len(centres))
    counts.set(xlabel="confidence", ylabel="rows")
    return _png(figure)


def _cells(size: int) -> list[tuple[int, int]]:
    return [(row, column) for row in range(size) for column in range(size)]


def _points(records: list[Record], name: str, by: str = "step") -> tuple[list[float], list[float]]:
    found = [record for record in records if name in record]
    return [record[by] for record in found], [record[name] for record in found]


def _figure(width: float, height: float) -> Any:
    # Here and not above: matplotlib takes half a second to import. No pyplot: a Figure of its own
    # draws with Agg, in memory, and looks for no screen.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=_DOTS)
    return stream.getvalue()
