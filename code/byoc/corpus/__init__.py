"""The embedded corpus: acceptability judgements that a small grammar generates from a seed.

It is there so that a first run needs no network: a tiny DistilBERT learns it from scratch in
under a minute on two cores, a model that sees only which words occur learns nothing from it.
Standard library only: a laptop that launches jobs has no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from byoc.corpus.grammar import CONSTRUCTIONS, Draw

DEFAULT_SIZE = 9600
"""Sentences in both splits together."""

VALIDATION_SHARE = 0.1

EMBEDDED_HYPERPARAMETERS: dict[str, str] = {
    "model-name-or-path": "scratch",
    "label-names": "unacceptable,acceptable",
    "epochs": "8",
    "batch-size": "64",
    "lr": "1e-3",
    "max-length": "32",
    "early-stopping-patience": "4",
}
"""What trains the tiny DistilBERT on this corpus well."""


@dataclass(frozen=True)
class Example:
    """One sentence; ``template`` names its construction and words, shared by a minimal pair."""

    sentence: str
    label: int
    template: str


def generate(seed: int = 0, size: int = DEFAULT_SIZE) -> tuple[list[Example], list[Example]]:
    """The training and the validation split, in random order.

    ``size`` is the number of sentences in both together (rounded down to whole pairs). Every
    filled template is used once and its pair stays in one split; so no template and no sentence
    stands in both. Raises ValueError where the grammar has not that many to give.
    """
    random = Random(seed)  # noqa: S311  (no secret hangs on it)
    pairs = _pairs(random, size // 2)
    held_out = int(len(pairs) * VALIDATION_SHARE)
    return _shuffled(random, pairs[held_out:]), _shuffled(random, pairs[:held_out])


def write_corpus(directory: Path, seed: int = 0, size: int = DEFAULT_SIZE) -> None:
    """Writes train/train.tsv and validation/validation.tsv, with the header sentence, label."""
    for name, examples in zip(("train", "validation"), generate(seed, size), strict=True):
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{example.sentence}\t{example.label}\n" for example in examples]
        (folder / f"{name}.tsv").write_text("".join(["sentence\tlabel\n", *rows]), encoding="utf-8")


def _pairs(random: Random, count: int) -> list[tuple[Example, Example]]:
    """``count`` minimal pairs, as many of each construction as of any other."""
    pairs: list[tuple[Example, Example]] = []
    seen: set[str] = set()
    misses = 0
    while len(pairs) < count:
        construction = CONSTRUCTIONS[len(pairs) % len(CONSTRUCTIONS)]
        draw = Draw(random)
        good, bad = (text[0].upper() + text[1:] for text in construction(draw))
        template = f"{construction.__name__} {draw.words}"
        if seen & {template, good, bad}:
            misses += 1
            if misses > 1000:
                raise ValueError(f"the grammar cannot give {2 * count} sentences: ask for fewer")
            continue
        misses = 0
        seen |= {template, good, bad}
        pairs.append((Example(good, 1, template), Example(bad, 0, template)))
    return pairs


def _shuffled(random: Random, pairs: list[tuple[Example, Example]]) -> list[Example]:
    """Fisher-Yates by ``Random.random``, for the same reason as in ``grammar.Draw``."""
    examples = [example for pair in pairs for example in pair]
    for last in range(len(examples) - 1, 0, -1):
        other = int(random.random() * (last + 1))
        examples[last], examples[other] = examples[other], examples[last]
    return examples
