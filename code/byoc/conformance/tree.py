"""A tree as SageMaker lays it out at /opt/ml for one training job."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

INTERFACE = "eth0"


class Tree:
    """The folder that becomes /opt/ml, and the channels that are mounted into it, read-only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.channels: dict[str, Path] = {}
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def write_config(self, name: str, content: object) -> None:
        """input/config/NAME as JSON."""
        (self.root / "input/config" / name).write_text(json.dumps(content), encoding="utf-8")

    def write_hosts(self, current: str, hosts: Sequence[str]) -> None:
        self.write_config(
            "resourceconfig.json",
            {
                "current_host": current,
                "hosts": list(hosts),
                "network_interface_name": INTERFACE,
                "current_instance_type": "ml.c5.xlarge",
                "current_group_name": "homogeneousCluster",
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": "ml.c5.xlarge",
                        "hosts": list(hosts),
                    }
                ],
            },
        )

    def add_channels(self, folders: Mapping[str, Path], **fields: str) -> None:
        """Channels for mounting; ``fields`` go to each one's entry in inputdataconfig.json."""
        self.channels.update(folders)
        for name in folders:
            (self.root / "input/data" / name).mkdir(exist_ok=True)
        usual = {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
        config = {name: {**usual, **fields} for name in self.channels}
        self.write_config("inputdataconfig.json", config)

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def data(self) -> Path:
        return self.root / "output/data"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def failure(self) -> str | None:
        """output/failure's text; None where there is none."""
        path = self.root / "output/failure"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def files(folder: Path) -> list[Path]:
    """All plain files in it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def odd_members(folder: Path) -> list[str]:
    """What would not survive tar.gz and S3: links, sockets, FIFOs, devices, with their kind."""
    found = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "symbolic link" if stat.S_ISLNK(mode) else stat.filemode(mode)[0]
            found.append(f"{path.relative_to(folder)} ({kind})")
        elif stat.S_ISREG(mode) and mode & stat.S_IRUSR == 0:
            found.append(f"{path.relative_to(folder)} (unreadable)")
    return found


def read_json(path: Path) -> Any:
    """None where the file is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def copy(source: Path, target: Path) -> None:
    """Copies a folder's content into another, times included."""
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copy2)


def scatter(source: Path, target: Path, parts: int) -> bool:
    """Writes the one table in ``source`` as files in nested folders of ``target``.

    ``parts``: so many files, or one for each row if there are fewer. False, with nothing written,
    where ``source`` is not one .tsv, .csv or .jsonl file of two rows at least.
    """
    found = files(source)
    if len(found) != 1 or found[0].suffix not in {".tsv", ".csv", ".jsonl"}:
        return False
    lines = found[0].read_text(encoding="utf-8").splitlines(keepends=True)
    header = lines[:0] if found[0].suffix == ".jsonl" else lines[:1]
    rows = lines[len(header) :]
    parts = min(parts, len(rows))
    if parts < 2:
        return False
    for part in range(parts):
        start, end = len(rows) * part // parts, len(rows) * (part + 1) // parts
        path = target / f"part-{part // 8}" / f"{part:03d}" / f"rows{found[0].suffix}"
        path.parent.mkdir(parents=True)
        path.write_text("".join([*header, *rows[start:end]]), encoding="utf-8")
    return True


def make_fifo(path: Path) -> None:
    os.mkfifo(path)
