"""What is sent: names, sizes, SHA-256 digests, and one digest of them all."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from byoc.data import manifest
from byoc.data.sources import SPLITS
from byoc.launch.data import find_channels
from byoc.launch.errors import LaunchError
from byoc.training.tables import is_data

MIB = 1 << 20
PART = 8 * MIB
MOST_PARTS = 10_000
"""S3's limit for one object."""


@dataclass(frozen=True)
class Item:
    """A file under its name in the prefix; ``parts``: the SHA-256 of each part of ``part_size``
    bytes, one where the file is sent in one request."""

    name: str
    path: Path
    size: int
    digest: str
    part_size: int
    parts: tuple[bytes, ...]

    def part(self, number: int) -> bytes:
        """The bytes of part ``number``, from 0 up."""
        with self.path.open("rb") as stream:
            stream.seek(number * self.part_size)
            return stream.read(self.part_size)


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def data_files(source: Path) -> dict[str, Path]:
    """The files of a data set by the names that they get: CHANNEL/FILE, and manifest.json where
    `byoc data prepare` has written it.

    Raises ``LaunchError`` where there is no training data.
    """
    found = {}
    for channel, parts in find_channels(source).items():
        for part in parts:
            tables = [part]
            if part.is_dir():
                tables = [path for path in sorted(part.rglob("*")) if is_data(path, part)]
            for path in tables:
                name = path.name if path == part else path.relative_to(part).as_posix()
                key = f"{channel}/{name}"
                found[key if key not in found else f"{channel}/{part.name}/{name}"] = path
    if not any(name.startswith("train/") for name in found):
        raise LaunchError(f"{source} has a folder for train that holds no table")
    made = source / manifest.NAME
    return {**found, manifest.NAME: made} if made.is_file() else found


def channels(names: Iterable[str]) -> list[str]:
    """In the order of ``SPLITS``; a model's own after them."""
    there = {name.partition("/")[0] for name in names if "/" in name}
    return [name for name in (*SPLITS, "model") if name in there]


def read(files: Mapping[str, Path], tick: Callable[[int], None]) -> list[Item]:
    """The items by their names; ``tick`` is called with how many more bytes have been read.

    Raises ``LaunchError`` where a file cannot be read.
    """
    return [_item(name, files[name], tick) for name in sorted(files)]


def _item(name: str, path: Path, tick: Callable[[int], None]) -> Item:
    try:
        size = path.stat().st_size
        part_size = max(PART, -(-size // MOST_PARTS // MIB) * MIB)
        whole, parts = sha256(), []
        with path.open("rb") as stream:
            while content := stream.read(part_size):
                whole.update(content)
                parts.append(sha256(content).digest())
                tick(len(content))
    except OSError as error:
        raise LaunchError(f"cannot read {path}: {error.strerror or error}") from error
    found = tuple(parts) or (whole.digest(),)
    return Item(name, path, size, whole.hexdigest(), part_size, found)


def digest(items: Iterable[Item]) -> str:
    """SHA-256 of the list of names, sizes and digests."""
    lines = (f"{item.digest} {item.size} {item.name}\n" for item in items)
    return sha256("".join(lines).encode()).hexdigest()


def check(source: Path, items: Iterable[Item]) -> None:
    """Raises ``LaunchError`` where the files are not those of the data set's manifest."""
    made = manifest.read(source) if source.is_dir() else None
    found = {item.name: item.digest for item in items}
    for split in (made or {}).get("splits", {}).values():
        if found.get(split["file"]) != split["sha256"]:
            raise LaunchError(
                f"{source / split['file']} is not what {manifest.NAME} says: run `byoc data "
                f"prepare` again, or remove {manifest.NAME}"
            )
