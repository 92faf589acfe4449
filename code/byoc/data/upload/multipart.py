"""A large file in parts: what of it lies on S3 already, and its end."""

from __future__ import annotations

from hashlib import md5
from typing import Any

from byoc.data.upload.content import Item, encoded
from byoc.data.upload.place import DIGEST, Place
from byoc.launch.errors import LaunchError


def begun(place: Place, item: Item) -> str:
    """The id of the item's latest upload that has not been completed, else of a new one."""
    where = place.at(item.name)
    found = place.client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"])
    ours = [upload for upload in found.get("Uploads", ()) if upload["Key"] == where["Key"]]
    if ours:
        return str(max(ours, key=lambda upload: str(upload.get("Initiated")))["UploadId"])
    made = place.client.create_multipart_upload(
        **where,
        ChecksumAlgorithm="SHA256",
        Metadata={DIGEST: item.digest},
        **place.encryption(),
    )
    return str(made["UploadId"])


def parts(place: Place, item: Item, upload: str) -> dict[int, dict[str, Any]]:
    """The parts that have been sent and are right, by number from 0 up."""
    pages = place.client.get_paginator("list_parts").paginate(
        **place.at(item.name), UploadId=upload
    )
    found = {part["PartNumber"] - 1: part for page in pages for part in page.get("Parts", ())}
    return {
        number: part
        for number, part in found.items()
        if number < len(item.parts) and _is_right(part, item, number)
    }


def _is_right(part: dict[str, Any], item: Item, number: int) -> bool:
    """By its SHA-256; stores that do not list that (moto) list the MD5, as the part's tag."""
    checksum = part.get("ChecksumSHA256")
    if checksum:
        return bool(checksum == encoded(item.parts[number]))
    found = md5(item.part(number), usedforsecurity=False).hexdigest()
    return bool(part["ETag"].strip('"') == found)


def complete(place: Place, item: Item, upload: str) -> None:
    """Makes the object of its parts; raises ``LaunchError`` where one of them is missing."""
    found = parts(place, item, upload)
    if len(found) < len(item.parts):
        raise LaunchError(f"parts of {item.path} are missing on S3: run the same command again")
    listed = [
        {
            "PartNumber": number + 1,
            "ETag": found[number]["ETag"],
            "ChecksumSHA256": encoded(item.parts[number]),
        }
        for number in range(len(item.parts))
    ]
    place.client.complete_multipart_upload(
        **place.at(item.name), UploadId=upload, MultipartUpload={"Parts": listed}
    )
