"""The job's tables: what its channels hold, split and checked; nothing heavy is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import compress
from typing import Any, NamedTuple

from byoc import contract
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.readers import Columns
from byoc.training.tables import Row, Table, check_labels, held_out, read_channel

COLA_NAMES = ("unacceptable", "acceptable")
CHANNELS = ("train", "validation", "test", "model")


class Example(NamedTuple):
    """A row whose label is a class number."""

    text: str
    pair: str | None
    label: int


@dataclass(frozen=True)
class Part:
    """The rows of a table that a mask marks with 1, or all of them."""

    table: Table
    mask: bytearray | None = None

    def rows(self) -> Iterator[Row]:
        rows = self.table.rows()
        return rows if self.mask is None else compress(rows, self.mask)

    def counts(self) -> dict[str, int]:
        """Rows by label."""
        if self.mask is None:
            return self.table.counts()
        found = Counter(compress(self.table.numbers, self.mask))
        return {label: found[place] for place, label in enumerate(self.table.labels)}


@dataclass(frozen=True)
class Splits:
    """train, validation and perhaps test; the texts stay in the channels.

    ``labels`` as in the files, in a stable order; ``names``: what the model calls them; ``sizes``:
    rows of each split; ``counts``: rows of each split by label number; ``fingerprint``: tells
    whether another job has the same rows in the same order.
    """

    parts: Mapping[str, Part]
    labels: list[str]
    names: list[str]
    sizes: dict[str, int]
    counts: dict[str, list[int]]
    fingerprint: str

    def examples(self, split: str) -> Iterator[Example]:
        """In the order of the rows; reads the channel anew.

        Raises ``TrainingFault`` where it is not what it was.
        """
        numbers = {label: number for number, label in enumerate(self.labels)}
        for text, pair, label in self.parts[split].rows():
            yield Example(text, pair, numbers[label])

    def texts(self, split: str) -> Iterator[str]:
        """Every text, and every pair's second one."""
        for example in self.examples(split):
            yield example.text
            if example.pair is not None:
                yield example.pair


def read_splits(config: TrainingConfig) -> Splits:
    """Reads the channels train, validation (else a part of train) and test (where given).

    Raises ``TrainingFault`` for whatever is wrong with them.
    """
    columns = Columns(config.text_column, config.label_column, config.text_pair_column or None)
    declared = _channels()
    tables = {"train": read_channel(contract.channel_dir("train"), columns)}
    for name in ("validation", "test"):
        if name in declared or contract.channel_dir(name).is_dir():
            tables[name] = read_channel(contract.channel_dir(name), columns)
    labels = check_labels(
        tables["train"], {name: table for name, table in tables.items() if name != "train"}
    )
    parts = {name: Part(table) for name, table in tables.items()}
    if "validation" not in tables:
        mask = held_out(tables["train"], config.validation_fraction, config.seed)
        parts["train"] = Part(tables["train"], mask.translate(bytes((1, 0)) + bytes(254)))
        parts["validation"] = Part(tables["train"], mask)
    counts = {
        name: [part.counts().get(label, 0) for label in labels] for name, part in parts.items()
    }
    sizes = {name: sum(of_labels) for name, of_labels in counts.items()}
    names = _names(config, labels, tables["train"].is_raw_cola)
    return Splits(parts, labels, names, sizes, counts, _fingerprint(parts))


def _channels() -> dict[str, Any]:
    """The channels that inputdataconfig.json declares.

    Raises ``TrainingFault`` where one comes in a way that cannot be read.
    """
    found = contract.read_config("inputdataconfig.json", default={}) or {}
    if not isinstance(found, dict):
        raise TrainingFault(f"{contract.config_file('inputdataconfig.json')} is not a JSON object")
    hosts = _hosts()
    for name, channel in found.items():
        channel = channel if isinstance(channel, dict) else {}
        if channel.get("TrainingInputMode") == "Pipe":
            raise TrainingFault(
                f"channel {name} is in Pipe mode, which this image does not read: use File or "
                "FastFile"
            )
        if (
            name in CHANNELS
            and channel.get("S3DistributionType") == "ShardedByS3Key"
            and len(hosts) > 1
        ):
            raise TrainingFault(
                f"channel {name} is ShardedByS3Key over {len(hosts)} hosts, each of which would "
                "see another part: use FullyReplicated; each process takes its own share of the "
                "rows"
            )
    return found


def _hosts() -> list[str]:
    found = contract.read_config("resourceconfig.json", default={}) or {}
    hosts = found.get("hosts") if isinstance(found, dict) else None
    return hosts if isinstance(hosts, list) else []


def _fingerprint(parts: Mapping[str, Part]) -> str:
    whole = sha256()
    for name, part in sorted(parts.items()):
        whole.update(name.encode() + part.table.digest + sha256(part.mask or b"").digest())
    return whole.hexdigest()


def _names(config: TrainingConfig, labels: list[str], is_raw_cola: bool) -> list[str]:
    if config.label_names:
        if len(config.label_names) != len(labels):
            raise TrainingFault(
                f"label-names has {len(config.label_names)} names, but channel train has "
                f"{len(labels)} labels: {', '.join(labels[:10])}"
            )
        return list(config.label_names)
    return list(COLA_NAMES) if is_raw_cola and labels == ["0", "1"] else labels
