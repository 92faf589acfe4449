"""The job's tables: what its channels hold, split and checked; nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass

from byoc import contract
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.tables import Columns, Table, check_labels, read_channel, split

COLA_NAMES = ("unacceptable", "acceptable")


@dataclass(frozen=True)
class Splits:
    """``tables`` by split (train, validation, perhaps test); ``labels`` as in the files, and the
    ``names`` that the model gives to them."""

    tables: dict[str, Table]
    labels: list[str]
    names: list[str]


def read_splits(config: TrainingConfig) -> Splits:
    """Reads the channels train, validation (else a part of train) and test (where given).

    Raises ``TrainingFault`` for whatever is wrong with them.
    """
    columns = Columns(config.text_column, config.label_column)
    config_of_channels = contract.read_config("inputdataconfig.json", default={}) or {}
    for name, channel in config_of_channels.items():
        if isinstance(channel, dict) and channel.get("TrainingInputMode") == "Pipe":
            raise TrainingFault(
                f"channel {name} is in Pipe mode, which this image does not read: use File or "
                "FastFile"
            )
    tables = {"train": read_channel(contract.channel_dir("train"), columns)}
    for name in ("validation", "test"):
        if name in config_of_channels or contract.channel_dir(name).is_dir():
            tables[name] = read_channel(contract.channel_dir(name), columns)
    labels = check_labels(
        tables["train"], {name: table for name, table in tables.items() if name != "train"}
    )
    if "validation" not in tables:
        tables["train"], tables["validation"] = split(
            tables["train"], config.validation_fraction, config.seed
        )
    return Splits(tables, labels, _names(config, labels, tables["train"].is_raw_cola))


def _names(config: TrainingConfig, labels: list[str], is_raw_cola: bool) -> list[str]:
    if config.label_names:
        if len(config.label_names) != len(labels):
            raise TrainingFault(
                f"label-names has {len(config.label_names)} names, but channel train has "
                f"{len(labels)} labels: {', '.join(labels[:10])}"
            )
        return list(config.label_names)
    return list(COLA_NAMES) if is_raw_cola and labels == ["0", "1"] else labels
