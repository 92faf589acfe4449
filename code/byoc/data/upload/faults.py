"""S3's refusals, each as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from byoc.launch.errors import LaunchError

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403", "Forbidden"}
_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
}
"""All other calls that are made here need s3:PutObject."""


@contextmanager
def told(bucket: str, region: str, kms_key: str | None = None) -> Iterator[None]:
    """Raises ``LaunchError`` for what S3, or the way to it, refuses."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise LaunchError(_words(error, bucket, region, kms_key)) from error
    except BotoCoreError as error:
        raise LaunchError(_way(error, bucket)) from error


def _words(error: Any, bucket: str, region: str, kms_key: str | None) -> str:
    found = error.response.get("Error", {})
    code, said = str(found.get("Code")), " ".join(str(found.get("Message", "")).split())
    operation = error.operation_name
    if code in ("NoSuchBucket", "404"):
        return (
            f"there is no bucket {bucket}: check its name, or make it with `aws s3 mb "
            f"s3://{bucket} --region {region}`"
        )
    if code in _EXPIRED:
        return (
            f"the AWS credentials have expired ({code}): sign in again (`aws sso login`, or a new "
            "session token), then run the same command, which goes on where it was"
        )
    if code in _UNKNOWN:
        return f"AWS does not know these credentials ({code}): check AWS_PROFILE or AWS_*"
    if code in _ELSEWHERE:
        there = found.get("Region") or found.get("Endpoint") or "another region"
        return elsewhere(bucket, str(there), region)
    if code.startswith("KMS.") or (code in _DENIED and "kms" in said.lower()):
        return (
            f"the KMS key {kms_key} cannot be used ({said or code}): the caller needs "
            "kms:GenerateDataKey and kms:Decrypt on it, in the bucket's region"
        )
    if code in _DENIED:
        permission = _PERMISSIONS.get(operation, "s3:PutObject")
        return (
            f"no permission in bucket {bucket}: {operation} was refused; the caller needs "
            f"{permission} there (and the bucket must be yours)"
        )
    if code in ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"):
        return "a file changed while it was sent: run the same command again"
    return f"S3 refused {operation} in bucket {bucket}: {code} {said}; run it again".strip()


def elsewhere(bucket: str, there: str, region: str) -> str:
    return (
        f"bucket {bucket} is in {there}, but the region here is {region}: a job reads from buckets "
        f"of its own region only; set AWS_REGION={there}, or take another bucket"
    )


def _way(error: Any, bucket: str) -> str:
    kind, said = type(error).__name__, " ".join(str(error).split())
    if "Token" in kind or "SSO" in kind or "Credential" in kind:
        return f"the AWS credentials cannot be used ({said}): sign in again (`aws sso login`)"
    if "Param" in kind:
        return f"S3 cannot take bucket {bucket}: {said}"
    return f"S3 cannot be reached ({said}): run the same command again, which goes on where it was"
