"""Sends items under a prefix that is named by their content.

Nothing is sent twice: what lies there with the same checksum is left, and a large file that was cut
off goes on after its last whole part. The record upload.json is written last: where it is, all is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from typing import Any

from byoc import __version__
from byoc.data.upload.content import Item, digest, encoded
from byoc.data.upload.faults import elsewhere, told
from byoc.launch import aws
from byoc.launch.errors import LaunchError

RECORD = "upload.json"
WORKERS = 8
"""Requests at once; each holds one part in memory."""

_DIGEST = "sha256"
"""The metadata of an object that holds its digest. S3 has checked the bytes as they came."""
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Sent:
    """``uri`` ends in the content's digest; ``sent``: bytes that were sent this time;
    ``was_there``: whether all of it lay there before."""

    uri: str
    sent: int
    was_there: bool


@dataclass(frozen=True)
class _Place:
    client: Any
    bucket: str
    base: str
    kms_key: str | None

    def encryption(self) -> dict[str, str]:
        if self.kms_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}

    def at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.base + name}


def parse(uri: str) -> tuple[str, str]:
    """Bucket and prefix of s3://BUCKET/PREFIX; raises ``LaunchError``."""
    found = _URI.fullmatch(uri)
    if not found:
        raise LaunchError(f"{uri!r} is not of the form s3://BUCKET/PREFIX")
    return found[1], (found[2] or "").strip("/")


def connect() -> Any:
    """The S3 client; throttling and faults of the server are tried again with growing waits."""
    from botocore.config import Config

    settings = Config(
        retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=WORKERS
    )
    return aws.client("s3", config=settings)


def check(client: Any, bucket: str) -> None:
    """Raises ``LaunchError`` where the bucket is not there, not here, or not ours to list."""
    region = client.meta.region_name
    with told(bucket, region):
        # Unlike HeadBucket's, the refusals of this call say why.
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        found = client.head_bucket(Bucket=bucket)
    there = found.get("BucketRegion")
    if there and there != region:
        raise LaunchError(elsewhere(bucket, there, region))


def send(client: Any, items: Sequence[Item], uri: str, kms_key: str | None, tick: Tick) -> Sent:
    """Sends what is not there yet to URI/DIGEST/; ``tick`` is called with bytes done or found done.

    Raises ``LaunchError``; the same call then goes on where it was.
    """
    bucket, prefix = parse(uri)
    whole = digest(items)
    base = f"{prefix}/{whole}/" if prefix else f"{whole}/"
    place = _Place(client, bucket, base, kms_key)
    target = f"s3://{bucket}/{base}"
    with told(bucket, client.meta.region_name, kms_key):
        if _is_recorded(place):
            tick(sum(item.size for item in items))
            return Sent(target, 0, was_there=True)
        sent = _send_all(place, items, tick)
        _record(place, items)
    return Sent(target, sent, was_there=False)


def _is_recorded(place: _Place) -> bool:
    """Raises ``LaunchError`` where it lies there under another key."""
    body = _there(place, RECORD)
    if body is None:
        return False
    found = json.loads(place.client.get_object(**place.at(RECORD))["Body"].read())
    if found.get("kms_key") != place.kms_key:
        raise LaunchError(
            f"the same data lie under s3://{place.bucket}/{place.base} with "
            f"{found.get('kms_key') or 'no KMS key'}: take another prefix, or remove them first"
        )
    return True


def _there(place: _Place, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = place.client.head_object(**place.at(name))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return None
        raise
    return found


def _send_all(place: _Place, items: Sequence[Item], tick: Tick) -> int:
    """Bytes that were sent."""
    pool = ThreadPoolExecutor(WORKERS)
    try:
        jobs = [job for found in pool.map(partial(_jobs, place), items) for job in found]
        tick(sum(item.size for item in items) - sum(job.size for job in jobs))
        sent = 0
        for size in pool.map(lambda job: job.run(place), jobs):
            tick(size)
            sent += size
        uploads = {job.upload: job.item for job in jobs if job.upload}
        uploads |= {upload: item for item in items for upload in _finished(place, item)}
        list(pool.map(lambda pair: _complete(place, *pair), uploads.items()))
        return sent
    finally:
        # After a failure what has not begun yet is not begun.
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Job:
    """One request: a file, or part ``number`` of one."""

    item: Item
    upload: str | None = None
    number: int = 0

    @property
    def size(self) -> int:
        return min(self.item.part_size, self.item.size - self.number * self.item.part_size)

    def run(self, place: _Place) -> int:
        body = self.item.part(self.number)
        checksum = encoded(self.item.parts[self.number])
        where = place.at(self.item.name)
        if self.upload is None:
            place.client.put_object(
                **where,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                Metadata={_DIGEST: self.item.digest},
                **place.encryption(),
            )
        else:
            place.client.upload_part(
                **where,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                UploadId=self.upload,
                PartNumber=self.number + 1,
            )
        return len(body)


def _jobs(place: _Place, item: Item) -> list[_Job]:
    """What is still to be sent of an item."""
    found = _there(place, item.name)
    if found and found["Metadata"].get(_DIGEST) == item.digest:
        return []
    if len(item.parts) == 1:
        return [_Job(item)]
    upload = next(iter(_begun(place, item)), None) or _begin(place, item)
    done = _parts(place, item, upload)
    return [
        _Job(item, upload, number) for number in range(len(item.parts)) if number + 1 not in done
    ]


def _begin(place: _Place, item: Item) -> str:
    found = place.client.create_multipart_upload(
        **place.at(item.name),
        ChecksumAlgorithm="SHA256",
        Metadata={_DIGEST: item.digest},
        **place.encryption(),
    )
    return str(found["UploadId"])


def _begun(place: _Place, item: Item) -> list[str]:
    """Multipart uploads of the item that have not been completed, the latest first."""
    where = place.at(item.name)
    found = place.client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"])
    ours = [upload for upload in found.get("Uploads", ()) if upload["Key"] == where["Key"]]
    ours.sort(key=lambda upload: str(upload.get("Initiated")), reverse=True)
    return [str(upload["UploadId"]) for upload in ours]


def _finished(place: _Place, item: Item) -> list[str]:
    """The upload of which every part had been sent before this run began, but not the end."""
    if len(item.parts) == 1 or _there(place, item.name):
        return []
    return _begun(place, item)[:1]


def _parts(place: _Place, item: Item, upload: str) -> dict[int, dict[str, Any]]:
    """The parts that have been sent and are right, by number from 1 up."""
    pages = place.client.get_paginator("list_parts").paginate(
        **place.at(item.name), UploadId=upload
    )
    found = {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())}
    return {
        number: part
        for number, part in found.items()
        if number <= len(item.parts) and _is_right(part, item, number - 1)
    }


def _is_right(part: dict[str, Any], item: Item, number: int) -> bool:
    """By its SHA-256; stores that do not list that (moto) list the MD5, as the part's tag."""
    checksum = part.get("ChecksumSHA256")
    if checksum:
        return bool(checksum == encoded(item.parts[number]))
    return bool(
        part["ETag"].strip('"') == md5(item.part(number), usedforsecurity=False).hexdigest()
    )


def _complete(place: _Place, upload: str, item: Item) -> None:
    parts = _parts(place, item, upload)
    listed = [
        {
            "PartNumber": number,
            "ETag": parts[number]["ETag"],
            "ChecksumSHA256": encoded(item.parts[number - 1]),
        }
        for number in range(1, len(item.parts) + 1)
        if number in parts
    ]
    if len(listed) < len(item.parts):
        raise LaunchError(f"parts of {item.path} are missing on S3: run the same command again")
    place.client.complete_multipart_upload(
        **place.at(item.name), UploadId=upload, MultipartUpload={"Parts": listed}
    )


def _record(place: _Place, items: Sequence[Item]) -> None:
    content = {
        "version": 1,
        "made_by": f"byoc {__version__}",
        "kms_key": place.kms_key,
        "files": [{"name": item.name, "bytes": item.size, "sha256": item.digest} for item in items],
    }
    place.client.put_object(
        **place.at(RECORD),
        Body=json.dumps(content, indent=2).encode(),
        ContentType="application/json",
        ChecksumAlgorithm="SHA256",
        **place.encryption(),
    )
