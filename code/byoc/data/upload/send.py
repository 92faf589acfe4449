"""Sends items under a prefix that is named by their content.

Nothing is sent twice: what lies there with the same digest is left, and a large file that was cut
off goes on after its last whole part. The record upload.json is written last: where it is, all is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from byoc import __version__
from byoc.data.upload import multipart
from byoc.data.upload.content import Item, digest, encoded
from byoc.data.upload.faults import told
from byoc.data.upload.place import DIGEST, WORKERS, Place, parse
from byoc.launch.errors import LaunchError

RECORD = "upload.json"

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Sent:
    """``uri`` ends in the content's digest; ``sent``: bytes that were sent this time;
    ``was_there``: whether all of it lay there before."""

    uri: str
    sent: int
    was_there: bool


def send(client: Any, items: Sequence[Item], uri: str, kms_key: str | None, tick: Tick) -> Sent:
    """Sends what is not there yet to URI/DIGEST/; ``tick`` is called with bytes done or found done.

    Raises ``LaunchError``; the same call then goes on where it was.
    """
    bucket, prefix = parse(uri)
    base = f"{prefix}/{digest(items)}/".lstrip("/")
    place = Place(client, bucket, base, kms_key)
    with told(bucket, client.meta.region_name, kms_key):
        if _is_recorded(place):
            tick(sum(item.size for item in items))
            return Sent(place.uri, 0, was_there=True)
        sent = _send_all(place, items, tick)
        _record(place, items)
    return Sent(place.uri, sent, was_there=False)


def _is_recorded(place: Place) -> bool:
    """Raises ``LaunchError`` where it lies there under another key."""
    if place.head(RECORD) is None:
        return False
    found = json.loads(place.client.get_object(**place.at(RECORD))["Body"].read())
    if found.get("kms_key") != place.kms_key:
        raise LaunchError(
            f"the same data lie under {place.uri} with {found.get('kms_key') or 'no KMS key'}: "
            "take another prefix, or remove them first"
        )
    return True


@dataclass(frozen=True)
class _Plan:
    """What is still to be done for an item: ``missing`` parts, of the multipart ``upload`` where
    there is more than one in all."""

    item: Item
    missing: tuple[int, ...]
    upload: str | None = None

    def size(self, number: int) -> int:
        return min(self.item.part_size, self.item.size - number * self.item.part_size)


def _plan(place: Place, item: Item) -> _Plan | None:
    """None where it is there."""
    if place.has(item.name, item.digest):
        return None
    if len(item.parts) == 1:
        return _Plan(item, (0,))
    upload = multipart.begun(place, item)
    done = multipart.parts(place, item, upload)
    return _Plan(item, tuple(n for n in range(len(item.parts)) if n not in done), upload)


def _send_all(place: Place, items: Sequence[Item], tick: Tick) -> int:
    """Bytes that were sent."""
    pool = ThreadPoolExecutor(WORKERS)
    try:
        plans = [plan for plan in pool.map(partial(_plan, place), items) if plan]
        jobs = [(plan, number) for plan in plans for number in plan.missing]
        sent = sum(plan.size(number) for plan, number in jobs)
        tick(sum(item.size for item in items) - sent)
        for size in pool.map(lambda job: _send(place, *job), jobs):
            tick(size)
        list(pool.map(partial(_complete, place), plans))
        return sent
    finally:
        # After a failure what has not begun yet is not begun.
        pool.shutdown(cancel_futures=True)


def _send(place: Place, plan: _Plan, number: int) -> int:
    """One request: a file, or a part of one."""
    item = plan.item
    body = item.part(number)
    request = {
        **place.at(item.name),
        "Body": body,
        "ChecksumAlgorithm": "SHA256",
        "ChecksumSHA256": encoded(item.parts[number]),
    }
    if plan.upload is None:
        metadata = {DIGEST: item.digest}
        place.client.put_object(**request, Metadata=metadata, **place.encryption())
    else:
        place.client.upload_part(**request, UploadId=plan.upload, PartNumber=number + 1)
    return len(body)


def _complete(place: Place, plan: _Plan) -> None:
    if plan.upload is not None:
        multipart.complete(place, plan.item, plan.upload)


def _record(place: Place, items: Sequence[Item]) -> None:
    files = [{"name": item.name, "bytes": item.size, "sha256": item.digest} for item in items]
    content = {
        "version": 1,
        "made_by": f"byoc {__version__}",
        "kms_key": place.kms_key,
        "files": files,
    }
    place.client.put_object(
        **place.at(RECORD),
        Body=json.dumps(content, indent=2).encode(),
        ContentType="application/json",
        ChecksumAlgorithm="SHA256",
        **place.encryption(),
    )
