"""AWS's errors in one line each: what is wrong, where, and what to do.

A table, from the error's code and words to what a person should read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

AGAIN = "run the same command again, it goes on where it stopped"
POLICY = "docs/iam/caller.json lists what byoc needs"


@dataclass(frozen=True)
class Kind:
    """``codes`` as a pattern of the error's code, ``words`` of its message; ``said`` may use the
    named groups of both and ``code``."""

    codes: str
    words: str
    said: str


KINDS = (
    Kind(
        r"ExpiredToken(Exception)?|RequestExpired|TokenRefreshRequired",
        r"",
        "your AWS session has expired: sign in again (`aws sso login`, or new keys), then " + AGAIN,
    ),
    Kind(
        r"UnrecognizedClientException|InvalidClientTokenId|InvalidAccessKeyId|"
        r"SignatureDoesNotMatch|InvalidSignatureException|AuthFailure",
        r"",
        "AWS does not know these credentials: check AWS_PROFILE or the access key, and this "
        "machine's clock",
    ),
    Kind(
        r"ValidationException",
        r"[Cc]ould not assume role (?P<role>\S+?)\.?(\s|$)",
        "SageMaker cannot assume {role}: the role must exist, and its trust policy must allow "
        "sagemaker.amazonaws.com (docs/iam/trust.json)",
    ),
    Kind(
        r"AccessDenied(Exception)?|UnauthorizedOperation|403|Forbidden",
        r"perform: iam:PassRole on resource: (?P<role>\S+)",
        "you may not hand {role} to SageMaker: your policy needs iam:PassRole on it ("
        + POLICY
        + ")",
    ),
    Kind(
        r"AccessDenied(Exception)?|UnauthorizedOperation|403|Forbidden",
        r"perform: (?P<action>[\w-]+:\w+)( on resource: (?P<resource>\S+))?",
        "you lack {action} on {resource}: " + POLICY,
    ),
    Kind(
        r"AccessDenied(Exception)?|UnauthorizedOperation|403|Forbidden",
        r"",
        "AWS refuses the call: " + POLICY + "; a bucket or key of another account needs its "
        "owner's policy too",
    ),
    Kind(
        r"ResourceLimitExceeded",
        r"limit '(?P<quota>[^']+)' is (?P<most>\d+) \w+, with current utilization of (?P<used>\d+) "
        r"\w+ and a request delta of (?P<more>\d+)",
        "the quota '{quota}' is {most}, {used} in use, {more} wanted: raise it in the console "
        "under Service Quotas > AWS services > Amazon SageMaker > '{quota}', in this region; or "
        "take another --instance-type",
    ),
    Kind(
        r"ResourceLimitExceeded",
        r"",
        "a quota of the account is used up: the console's Service Quotas > AWS services > Amazon "
        "SageMaker raises it, in this region",
    ),
    Kind(
        r"CapacityError|InsufficientCapacity(Exception|Error)?|InsufficientInstanceCapacity",
        r"",
        "AWS has none of these instances free now: try again later, another --instance-type, or "
        "another region",
    ),
    Kind(
        r"PermanentRedirect|301|IllegalLocationConstraintException|AuthorizationHeaderMalformed",
        r"(expecting '|in this region: )(?P<region>[a-z]{2}(-[a-z]+)+-\d)",
        "the bucket is in {region}: use one in the job's region, or AWS_REGION={region}",
    ),
    Kind(
        r"PermanentRedirect|301|IllegalLocationConstraintException|AuthorizationHeaderMalformed",
        r"",
        "the bucket is in another region: use one in the job's region, or set AWS_REGION to the "
        "bucket's",
    ),
    Kind(
        r"Throttling(Exception)?|TooManyRequestsException|RequestLimitExceeded|SlowDown|"
        r"ThrottledException|RequestThrottled(Exception)?",
        r"",
        "AWS still throttles the calls after several tries: wait a minute, then " + AGAIN,
    ),
    Kind(
        r"ResourceInUse|ResourceInUseException",
        r"",
        "there is one of that name already, and names are unique: choose another name",
    ),
    Kind(
        r"ValidationException",
        r"[Cc]annot create already existing (?P<what>[\w -]+)",
        "there is already such a {what}: choose another name",
    ),
    Kind(
        r"InternalFailure|InternalError|InternalServerException|ServiceUnavailable|"
        r"ServerException|50\d",
        r"",
        "AWS failed on its side, and again when asked again: " + AGAIN,
    ),
)


def line(error: Exception) -> str:
    """One line for an error of botocore."""
    response: dict[str, Any] = getattr(error, "response", {}) or {}
    found = response.get("Error", {})
    code, message = str(found.get("Code", "")), str(found.get("Message", ""))
    if code:
        operation = getattr(error, "operation_name", "a call")
        kind = _kind(code, message)
        if kind is None:
            return f"AWS: {' '.join(str(error).split())}"
        return f"AWS: {operation}: {code}: {kind}"
    return f"AWS: {_unanswered(error)}"


def reason(text: str) -> str:
    """A FailureReason's first line, with what to do where AWS's reason is known."""
    first = next((it for it in text.splitlines() if it.strip()), text).strip()
    found = re.match(r"(\w+): ", first)
    kind = _kind(found[1], first, own=False) if found else None
    if kind is None and re.search(r"PermanentRedirect|bucket is in this region", first):
        kind = _kind("PermanentRedirect", first, own=False)
    return f"{first} ({kind})" if kind else first


def _kind(code: str, message: str, own: bool = True) -> str | None:
    for kind in KINDS:
        if re.fullmatch(kind.codes, code) and (found := re.search(kind.words, message)):
            groups = {name: value or "it" for name, value in found.groupdict().items()}
            if groups:
                return kind.said.format(**groups)
            # AWS's own words stand behind ours: they tell which bucket or key it was.
            return kind.said + (f" [{' '.join(message.split())}]" if message and own else "")
    return None


def _unanswered(error: Exception) -> str:
    """Faults before AWS has said a word."""
    from botocore import exceptions as known

    said = " ".join(str(error).split())
    if isinstance(error, known.NoCredentialsError | known.PartialCredentialsError):
        return f"{said}: set AWS_PROFILE, or run `aws configure`"
    if isinstance(error, known.SSOTokenLoadError | known.UnauthorizedSSOTokenError):
        return f"your AWS session has expired ({said}): run `aws sso login`"
    if isinstance(error, known.NoRegionError):
        return "no AWS region is set: set AWS_REGION, or `region` in the profile you use"
    if isinstance(error, known.EndpointConnectionError):
        return f"{said}: no such region, or no network"
    if isinstance(error, known.HTTPClientError):
        return f"{said}, after several tries: {AGAIN}"
    return said
