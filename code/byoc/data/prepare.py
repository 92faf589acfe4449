"""Any table to train, validation and test: Parquet files that a training job takes as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc import __version__
from byoc.data import duplicates, manifest, splitting
from byoc.data.folder import file_sha256, whole_folder
from byoc.data.manifest import Manifest
from byoc.data.rows import COLUMNS, Rows, read, told
from byoc.data.sources import SPLITS, Source, find
from byoc.data.table import Table, take
from byoc.data.writing import LABEL, PAIR, TEXT, write
from byoc.launch.errors import LaunchError
from byoc.launch.hub import HubData
from byoc.training import tables
from byoc.training.readers import Columns

DUPLICATES = ("keep", "remove")


@dataclass(frozen=True)
class Options:
    """``validation`` and ``test``: shares of what is split; 0: no such split. ``resplit``: splits
    that are given are put together and made anew. ``duplicates``: one of ``DUPLICATES``."""

    columns: Columns = COLUMNS
    validation: float = 0.1
    test: float = 0.1
    seed: int = 42
    resplit: bool = False
    duplicates: str = "keep"
    skip_empty: bool = False


def _silent(_rows: int) -> None:
    pass


def prepare(
    data: str,
    target: Path,
    options: Options = Options(),
    hub: HubData | None = None,
    tick: Callable[[int], None] = _silent,
) -> Manifest:
    """Writes ``target``/SPLIT/SPLIT.parquet and, last, manifest.json; returns what that says.

    Splits that DATA has are kept; those that it lacks are cut from train. The same rows and
    options give the same bytes. ``tick`` is called with how many more rows have been read or
    written. Raises ``LaunchError``; ``target`` is then what it was.
    """
    with tempfile.TemporaryDirectory(prefix="byoc-data-") as name:
        source = find(data, options.columns, Path(name), hub)
        _check_place(source, target)
        table = take(source, options.columns, options.skip_empty, tick)
        if len(table.names) < 2:
            raise LaunchError(
                f"{source.name} has one class only, {table.names[0]!r} in all {len(table)} rows: "
                "a classifier needs at least two"
            )
        splits, removed = _splits(table, options)
        with whole_folder(target, _is_ours) as folder:
            rows = _rows(source, options)
            write(rows, splits, folder, options.columns.group, tick)
            content = _manifest(source, table, options, folder, removed)
            manifest.write(folder, content)
    return content


def _check_place(source: Source, target: Path) -> None:
    """Raises ``LaunchError`` where writing ``target`` would remove what is read."""
    for files in source.files.values():
        for path in files:
            if target.resolve() in path.resolve().parents:
                raise LaunchError(f"{target} holds {path}, which is read: give another folder")


def _is_ours(folder: Path) -> bool:
    return manifest.read(folder) is not None


def _rows(source: Source, options: Options) -> Iterator[Rows]:
    """The second reading."""
    for files in source.files.values():
        yield from read(files, options.columns, options.skip_empty)


def _splits(table: Table, options: Options) -> tuple[npt.NDArray[np.int8], int]:
    """[rows]: the place of each row's split in ``SPLITS``, -1 for those left out; their number."""
    given = table.splits * 0 if options.resplit else table.splits
    there = set(given.tolist())
    fractions = {
        name: fraction
        for name, fraction in (("validation", options.validation), ("test", options.test))
        if SPLITS.index(name) not in there and fraction
    }
    if sum(fractions.values()) >= 1:
        raise LaunchError("--validation and --test together leave nothing to train on")
    if table.groups is not None:
        _check_groups(table, given)
    kept = np.ones(len(table), np.bool_)
    if options.duplicates == "remove":
        kept = duplicates.kept(table.normalised, given)
    found = np.where(kept, given, -1).astype(np.int8)
    cut = np.flatnonzero(found == 0)
    if fractions and len(cut):
        groups = None if table.groups is None else table.groups[cut]
        together = splitting.components(table.normalised[cut], groups)
        found[cut] = splitting.split(
            table.keys[cut], table.labels[cut], together, fractions, options.seed
        )
        for name in fractions:
            if not (found == SPLITS.index(name)).any():
                lots = len(np.unique(together))
                raise LaunchError(
                    f"no rows are left for {name}: train has {len(cut)} rows, in {lots} lots that "
                    f"each stay in one split; give more data, or --{name} 0"
                )
    return found, int((~kept).sum())


def _check_groups(table: Table, given: npt.NDArray[np.int8]) -> None:
    """Raises ``LaunchError`` where a group stands in two splits that were given."""
    assert table.groups is not None
    for split in range(1, len(SPLITS)):
        both = np.intersect1d(table.groups[given == split], table.groups[given < split])
        if len(both):
            raise LaunchError(
                f"group {table.group_names[both[0]]!r} stands in {SPLITS[split]} and in another "
                "split, which were given: --resplit makes the splits anew"
            )


def _manifest(
    source: Source, table: Table, options: Options, folder: Path, removed: int
) -> Manifest:
    """From the files as they were written, read as a training job reads them."""
    pair = PAIR if options.columns.pair else None
    written = {}
    with told():
        for name in SPLITS:
            if (folder / name).is_dir():
                written[name] = tables.read_channel(folder / name, Columns(TEXT, LABEL, pair))
        held_out = {name: found for name, found in written.items() if name != "train"}
        tables.check_labels(written["train"], held_out)
    whole = sha256()
    for name, found in written.items():
        whole.update(name.encode() + found.digest)
    hyperparameters = {"text-pair-column": PAIR} if pair else {}
    if source.label_names and len(source.label_names) == len(written["train"].labels):
        hyperparameters["label-names"] = ",".join(source.label_names)
    return {
        "version": manifest.VERSION,
        "made_by": f"byoc {__version__}",
        "fingerprint": whole.hexdigest(),
        "source": {**source.origin, "files": _files(source)},
        "options": asdict(options),
        "hyperparameters": hyperparameters,
        "splits": {name: _split(found, folder) for name, found in written.items()},
        "duplicates": duplicates.count(table.exact, table.normalised, table.labels, table.splits),
        "removed": removed,
        "skipped": table.skipped,
        "notes": [*source.notes, *_without(written)],
    }


def _files(source: Source) -> list[dict[str, Any]]:
    found = []
    for split, files in source.files.items():
        for path in files:
            digest = file_sha256(path)
            size = path.stat().st_size
            found.append({"split": split, "name": path.name, "bytes": size, "sha256": digest})
    return found


def _split(table: tables.Table, folder: Path) -> dict[str, Any]:
    (path,) = table.files
    counts = table.counts()
    return {
        "file": str(path.relative_to(folder)),
        "rows": len(table),
        "labels": {label: counts[label] for label in tables.label_set(counts)},
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }


def _without(written: dict[str, tables.Table]) -> list[str]:
    """What a metric of a split cannot tell."""
    return [
        f"{name} has no row of label {label!r}"
        for name, found in written.items()
        for label in tables.label_set(written["train"].labels)
        if label not in found.labels
    ]
