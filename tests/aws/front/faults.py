"""What can go wrong between a client and AWS, and how AWS says it in each of its protocols."""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

from front.calls import Call


@dataclass(frozen=True)
class Fault:
    """``status`` 0: the connection ends without an answer; ``after``: the call is done first;
    ``seconds``: so long nothing is heard."""

    status: int = 0
    code: str = ""
    message: str = ""
    after: bool = False
    seconds: float = 0.0


def throttled() -> Fault:
    return Fault(400, "ThrottlingException", "Rate exceeded")


def failing(status: int = 500) -> Fault:
    code = "InternalFailure" if status == 500 else "ServiceUnavailable"
    return Fault(status, code, "We encountered an internal error. Please try again.")


def expired() -> Fault:
    return Fault(
        400, "ExpiredTokenException", "The security token included in the request is expired"
    )


def refused(code: str, message: str, status: int = 400) -> Fault:
    return Fault(status, code, message)


def dropped() -> Fault:
    """The call never reaches AWS."""
    return Fault()


def lost() -> Fault:
    """AWS does what was asked; its answer is lost on the way."""
    return Fault(after=True)


def late(seconds: float) -> Fault:
    """The call is answered as ever, but late: longer than the client waits, it is a timeout."""
    return Fault(after=True, seconds=seconds, status=-1)


_S3_CODES = {
    "ThrottlingException": (503, "SlowDown"),
    "ExpiredTokenException": (400, "ExpiredToken"),
}


def render(call: Call, status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of an error in the protocol of the call."""
    if call.protocol in ("json", "rest-json"):
        body = json.dumps({"__type": code, "message": message}).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
        return status, headers, body
    if call.protocol == "cbor":
        pairs = {"__type": code, "message": message}
        body = bytes([0xA0 + len(pairs)]) + b"".join(map(_cbor, [*sum(pairs.items(), ())]))
        return status, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, body
    if call.protocol == "rest-xml":
        status, code = _S3_CODES.get(code, (status, code))
    inner = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    outer = inner if call.protocol == "rest-xml" else f"<ErrorResponse>{inner}</ErrorResponse>"
    return status, {"Content-Type": "application/xml"}, outer.encode()


def _cbor(text: str) -> bytes:
    """A text string of at most 65535 bytes. Source: RFC 8949, 3.1."""
    data = text.encode()
    return b"\x79" + len(data).to_bytes(2, "big") + data
