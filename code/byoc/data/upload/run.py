"""A data set or a model on S3, as the channels of a training job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from byoc.data.upload import content
from byoc.data.upload.place import check, connect, parse
from byoc.data.upload.send import Sent, send

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""(what, bytes in all) to a function that is called with how many more are done."""


@dataclass(frozen=True)
class Uploaded:
    """``channels``: URI by name; ``digest``: of all names, sizes and contents."""

    channels: dict[str, str]
    digest: str
    sent: Sent


def upload_data(source: Path, uri: str, kms_key: str | None, progress: Progress) -> Uploaded:
    """Sends the tables of ``source``, a folder or a table, to URI/DIGEST/CHANNEL/.

    Raises ``LaunchError`` where the files are not whole, and for all that S3 refuses.
    """
    return _upload(content.data_files(source), uri, kms_key, progress, source)


def upload_files(
    files: Mapping[str, Path], uri: str, kms_key: str | None, progress: Progress
) -> Uploaded:
    """The same for any files by the names that they get."""
    return _upload(files, uri, kms_key, progress, None)


def _upload(
    files: Mapping[str, Path],
    uri: str,
    kms_key: str | None,
    progress: Progress,
    source: Path | None,
) -> Uploaded:
    bucket, _ = parse(uri)
    client = connect()
    check(client, bucket)
    size = sum(path.stat().st_size for path in files.values())
    with progress("reading", size) as tick:
        items = content.read(files, tick)
    if source is not None:
        content.check(source, items)
    with progress("sending", size) as tick:
        sent = send(client, items, uri, kms_key, tick)
    channels = {name: f"{sent.uri}{name}/" for name in content.channels(files)}
    return Uploaded(channels, content.digest(items), sent)
