"""A job's output on S3, the part that tells of its debugging, brought into a folder here."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from byoc.launch.aws import client
from byoc.launch.errors import LaunchError

CONNECTIONS = 32
"""At once: what a hook saves is thousands of small files."""

_FILES = {"output.tar.gz", "metrics.json", "metrics.jsonl", "facts.json", "rules.json"}
_FOLDERS = {"collections", "events", "index", "system", "framework"}


def download(uri: str, folder: Path) -> int:
    """Fetches tensors, metrics and results under ``uri``; the model stays where it is.

    Returns the number of files. Raises ``LaunchError`` where the URI is no s3://BUCKET/PREFIX or
    there is nothing of the kind, and botocore's errors.
    """
    from botocore.config import Config

    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise LaunchError(f"{uri!r} is not of the form s3://BUCKET/PREFIX")
    prefix = parts.path.strip("/")
    s3 = client("s3", config=Config(max_pool_connections=CONNECTIONS))
    wanted = list(_keys(s3, parts.netloc, prefix))
    if not wanted:
        raise LaunchError(
            f"there is no output of a debugged job under {uri}: no output.tar.gz, no tensors, no "
            "metrics; give the job's own prefix"
        )

    def fetch(pair: tuple[str, PurePosixPath]) -> None:
        key, name = pair
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(parts.netloc, key, str(target))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(fetch, wanted):
            pass
    return len(wanted)


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, PurePosixPath]]:
    """(key, relative name) of the objects that are wanted; names that lead outside are left out."""
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""
    )
    for page in pages:
        for found in page.get("Contents", ()):
            name = PurePosixPath(found["Key"][len(prefix) :].lstrip("/"))
            if ".." in name.parts or found["Key"].endswith("/"):
                continue
            if name.name in _FILES or _FOLDERS & set(name.parts[:-1]):
                yield found["Key"], name
