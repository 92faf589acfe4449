"""Gradient norms by layer over the saved steps."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

from byoc.debugger.report.numbers import curve, statistics
from byoc.debugger.report.tensors import ABS_MEAN, L2, Column, Tensors

_LAYER = re.compile(r"(?:^|[._/])(?:layers?|blocks?|h)[._/](\d+)(?:[._/]|$)")
MEASURES = {L2: "L2 norm", ABS_MEAN: "mean absolute gradient"}


def gradients_section(saved: Tensors) -> dict[str, Any]:
    """``layers``: a line for each, from the input to the output; ``measure``: what is drawn."""
    kind = next((kind for kind in MEASURES if saved.of(kind, "TRAIN", "GLOBAL")), None)
    if kind is None:
        return {"measure": None, "layers": [], "notes": []}
    by_layer: dict[str, list[Column]] = defaultdict(list)
    for parameter, column in saved.of(kind, "TRAIN", "GLOBAL").items():
        by_layer[layer_of(parameter)].append(column)
    layers = []
    for name in sorted(by_layer, key=_depth):
        steps, values = _together(by_layer[name], kind)
        line = curve(name, steps, values)
        layers.append(line | {"statistics": statistics(values), "tensors": len(by_layer[name])})
    return {"measure": MEASURES[kind], "layers": layers, "notes": _notes(layers)}


def layer_of(parameter: str) -> str:
    """embeddings, layer 0 …, or the first module's name: distilbert.transformer.layer.3.ffn.… is
    layer 3, classifier.weight is classifier."""
    found = _LAYER.search(parameter)
    if found:
        return f"layer {found[1]}"
    if "embed" in parameter.lower():
        return "embeddings"
    parts = re.split(r"[./]", parameter)
    named = parts[:-1] or parts
    return named[-1]


def _depth(layer: str) -> tuple[int, int]:
    """The others come last, in the order in which they were saved."""
    if layer == "embeddings":
        return 0, 0
    if layer.startswith("layer "):
        return 1, int(layer.removeprefix("layer "))
    return 2, 0


def _together(columns: list[Column], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The norm of all of a layer's parameters together; of means, their mean."""
    found = [column.arrays() for column in columns]
    steps = np.unique(np.concatenate([column_steps for column_steps, _ in found]))
    sums, counts = np.zeros(len(steps)), np.zeros(len(steps))
    for column_steps, values in found:
        places = np.searchsorted(steps, column_steps)
        np.add.at(sums, places, values**2 if kind == L2 else values)
        np.add.at(counts, places, 1)
    whole = np.sqrt(sums) if kind == L2 else sums / counts
    return steps, whole


def _notes(layers: list[dict[str, Any]]) -> list[dict[str, str]]:
    medians = [(layer["statistics"]["p50"], layer["name"]) for layer in layers]
    known = [found for found in medians if found[0] is not None]
    broken = sum(layer["not_finite"] for layer in layers)
    notes = []
    if broken:
        notes.append(
            {
                "what": f"{broken} saved norms are NaN or infinite and are not drawn.",
                "advice": "Lower the learning rate, or clip gradients.",
            }
        )
    if len(known) > 1:
        low, high = min(known), max(known)
        notes.append(
            {
                "what": f"The median norm is lowest in {low[1]} ({low[0]:.3g}) and highest in "
                f"{high[1]} ({high[0]:.3g}).",
                "advice": "A layer a thousand times below the others hardly learns."
                if low[0] * 1000 < high[0]
                else "All layers learn.",
            }
        )
    return notes
