"""What a job needs before its first step, made once for all processes of a host.

In the folder of a ``Prepared``: the tokenizer, each split's tokens, their limit, and job.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.training import encoder, shared_tokens
from byoc.training.config import TrainingConfig, as_hyperparameters, parse_hyperparameters
from byoc.training.sources import Splits, read_splits
from byoc.training.tokens import Tokens, tokenize

_LENGTH = "length"

_FREE = {"num-workers", "checkpoint-seconds", "checkpoint-keep", "processes-per-host"} | {
    "gradient-accumulation-steps",
    "precision",
    "model-name-or-path",
    "cuda-graphs",
    "debug",
    "debug-save-interval",
    "debug-eval-save-interval",
    "debug-collections",
    "debug-profile-steps",
    "debug-rules",
    "debug-rule-set",
    "debug-actions",
}
"""Hyperparameters that a job may change and still go on from its checkpoints: they do not change
what is trained, or are in the identity by what they lead to."""


@dataclass(frozen=True)
class Prepared:
    """``source`` as `encoder.source` found it; ``length`` in tokens, special ones included."""

    folder: Path
    config: TrainingConfig
    source: str
    length: int
    names: list[str]
    counts: dict[str, list[int]]
    fingerprint: str
    splits: Callable[[], Splits]
    """The tables behind it; another process reads the channels again."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this job: its hyperparameters, data and origin."""
        settings = as_hyperparameters(self.config)
        return {
            **{name: value for name, value in settings.items() if name not in _FREE},
            "data": self.fingerprint,
            "model": _origin(self.source),
            "tokens": self.length,
        }

    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder / "tokenizer")

    def tokens(self) -> dict[str, Tokens]:
        return {split: Tokens(self.folder / f"{split}.arrow") for split in self.counts}

    def save(self) -> None:
        content = {
            "hyperparameters": as_hyperparameters(self.config),
            "source": self.source,
            "length": self.length,
            "names": self.names,
            "counts": self.counts,
            "fingerprint": self.fingerprint,
        }
        (self.folder / "job.json").write_text(json.dumps(content), encoding="utf-8")


def prepare(config: TrainingConfig, splits: Splits, folder: Path) -> Prepared:
    """Finds the model to start from and tokenizes every split into ``folder``; where jobs share
    their tokens, only if no other one has done so.

    Raises ``TrainingFault`` where the model or the disk is not what it must be.
    """
    source = encoder.source(config)
    shared = contract.tokens_dir()
    if shared is None:
        _tokenize(config, splits, source, folder)
    else:
        key = shared_tokens.key(splits.fingerprint, config.max_length, source)
        shared_tokens.take(
            shared, key, lambda place: _tokenize(config, splits, source, place), folder
        )
    return Prepared(
        folder,
        config,
        source,
        int((folder / _LENGTH).read_text(encoding="ascii")),
        list(splits.names),
        splits.counts,
        splits.fingerprint,
        lambda: splits,
    )


def _tokenize(config: TrainingConfig, splits: Splits, source: str, folder: Path) -> None:
    tokenizer = encoder.tokenizer(source, config, splits.texts("train"))
    length = encoder.longest(source, tokenizer, config.max_length)
    tokenize(splits, tokenizer, length, folder)
    # The tokenizer is saved with the model: its readers are to see the limit.
    tokenizer.model_max_length = length
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / _LENGTH).write_text(str(length), encoding="ascii")


def load(folder: Path) -> Prepared:
    """What `prepare` made, in another process of the same host."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    config = parse_hyperparameters(job["hyperparameters"])
    return Prepared(
        folder,
        config,
        job["source"],
        job["length"],
        job["names"],
        job["counts"],
        job["fingerprint"],
        lambda: read_splits(config),
    )


def _origin(source: str) -> str:
    """A model's identity that does not depend on where it lies: its files' names, sizes, starts."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.safetensors")), folder / "config.json"]:
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()
