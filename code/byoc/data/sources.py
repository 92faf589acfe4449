"""What DATA means: a table, a folder of tables, `cola`, or a data set of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from byoc.data.rows import told
from byoc.launch.data import COLA, TABLES, channel_of, find_channels, is_cola
from byoc.launch.errors import LaunchError
from byoc.launch.hub import COLA as HUB_COLA
from byoc.launch.hub import HubData, fetch
from byoc.training.readers import Columns, is_raw_cola
from byoc.training.sources import COLA_NAMES
from byoc.training.tables import is_data

SPLITS = ("train", "validation", "test")

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """``files`` by split, in the order in which they are read; ``origin``: where they come from,
    for the record; ``notes``: what the user should be told."""

    name: str
    files: dict[str, tuple[Path, ...]]
    origin: dict[str, str] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find(data: str, columns: Columns, workplace: Path, hub: HubData | None = None) -> Source:
    """The tables of DATA; what must be fetched is written to ``workplace``.

    ``hub``: config and revision of a data set on the Hub. Raises ``LaunchError`` where there is
    nothing.
    """
    path = Path(data).expanduser()
    if path.exists():
        return _local(path, columns)
    if is_cola(data):
        wanted = HUB_COLA if hub is None or not hub.revision else _revised(HUB_COLA, hub)
    elif _HUB_NAME.fullmatch(data) and path.suffix.lower() not in TABLES:
        wanted = HubData(data, hub.config if hub else None, hub.revision if hub else None)
    else:
        raise LaunchError(
            f"there is no folder or file {path} (DATA is a folder, a file, {COLA!r}, or a data "
            "set's name on the Hub)"
        )
    return _hub(data, wanted, columns, workplace)


def _revised(data: HubData, hub: HubData) -> HubData:
    return replace(data, revision=hub.revision)


def _local(path: Path, columns: Columns) -> Source:
    if path.is_file() and path.suffix.lower() not in TABLES:
        raise LaunchError(f"{path} is no table: its name must end in {', '.join(TABLES)}")
    found = _unsplit(path) or find_channels(path)
    files = {
        split: tuple(file for part in found[split] for file in _files(part))
        for split in SPLITS
        if split in found
    }
    for split, tables in files.items():
        if not tables:
            raise LaunchError(f"{path} has a folder for {split} that holds no table")
    with told():
        raw = all(is_raw_cola(file, columns) for tables in files.values() for file in tables)
    names = COLA_NAMES if raw else ()
    return Source(path.name, files, {"name": path.name}, names)


def _unsplit(folder: Path) -> dict[str, list[Path]] | None:
    """All tables of a folder in which no name speaks of a split; None for any other."""
    if not folder.is_dir():
        return None
    entries = sorted(folder.iterdir())
    tables = [path for path in entries if path.is_file() and is_data(path, folder)]
    split = [path for path in entries if (path.is_dir() or path in tables) and channel_of(path)]
    return {"train": tables} if tables and not split else None


def _files(part: Path) -> list[Path]:
    if part.is_file():
        return [part]
    return [path for path in sorted(part.rglob("*")) if is_data(path, part)]


def _hub(name: str, wanted: HubData, columns: Columns, workplace: Path) -> Source:
    fetched = fetch(wanted, columns.label, workplace)
    files: dict[str, tuple[Path, ...]] = {}
    notes = [f"split {split} is left out: its labels are not public" for split in fetched.hidden]
    for split, file in fetched.files.items():
        channel = channel_of(Path(f"{split}.parquet"))
        if channel is None:
            notes.append(f"split {split} is left out: it is none of train, validation, test")
        else:
            files[channel] = (*files.get(channel, ()), file)
    if "train" not in files:
        raise LaunchError(f"{wanted} has no split train; it has {', '.join(fetched.files)}")
    origin = {"name": wanted.name, "revision": fetched.revision}
    if wanted.config:
        origin["config"] = wanted.config
    ordered = {split: files[split] for split in SPLITS if split in files}
    return Source(name, ordered, origin, fetched.label_names, tuple(notes))
