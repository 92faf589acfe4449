"""What requests may look like, and what they get: H05 to H07."""

from __future__ import annotations

from collections.abc import Sequence

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings
from byoc.conformance.patience import patience
from byoc.conformance.serving.server import (
    Reply,
    expect_taken,
    hosting_of,
    message_of,
    model_of,
    mounted,
    reached,
    script,
    serving,
    shared,
)

_SHORT = 1000
"""Bytes that a short error has at most."""


@clause("H05")
def headers_are_honoured(image: Image) -> str:
    """POST /invocations: Content-Type and Accept are honoured, unknown headers do no harm.

    How: a good request, the same with SageMaker's own headers and with odd ones, and with an
    Accept of what came.
    Remedy: read Content-Type and Accept, and no other header without need.
    AWS: Custom Inference Code with Hosting Services: How Your Container Should Respond to
    Inference Requests
    """
    findings = Findings()
    server, message = shared(image), message_of(image)
    plain = server.invoke(message)
    expect_taken(findings, image, plain, "a good request")
    more = server.invoke(
        message,
        X_Amzn_SageMaker_Custom_Attributes="a=caf\xe9",
        X_Amzn_SageMaker_Inference_Id="7",
        X_Amzn_SageMaker_Session_Id="NEW_SESSION",
        X_Amzn_SageMaker_Target_Model="/a.tar.gz",
        X_Amzn_SageMaker_Target_Variant="b",
        X_Unknown="x" * 2000,
    )
    expect_taken(findings, image, more, "with SageMaker's and odd headers")
    kind = plain.headers.get("content-type", "")
    same = server.invoke(message, Accept=kind)
    expect_taken(findings, image, same, f"Accept {kind}")
    return findings.seen()


@clause("H06")
def bodies_up_to_the_limit(image: Image) -> str:
    """Bodies of 6,291,456 bytes are taken; one byte more is 413, at once; the limit can be raised.

    How: a body of the largest size, one that is larger, and one of 19 MB with
    SAGEMAKER_MAX_PAYLOAD_IN_MB=20. What the model makes of them does not matter: 413 does.
    Remedy: set the limit in the front, by the variable.
    AWS: Custom Inference Code with Hosting Services: How Your Container Should Respond to
    Inference Requests
    """
    findings = Findings()
    server, hosting = shared(image), hosting_of(image)
    kind, largest = hosting.message.content_type, hosting.largest
    taken = server.invoke(_of_size(largest, kind))
    findings.expect(
        reached(taken), f"{largest} bytes: {_said(taken)}", f"{largest} bytes are taken"
    )
    refused = server.invoke(_of_size(largest + 1, kind))
    # A server that answers at once may close before all of the body has come.
    findings.expect(
        refused.status == 413 or refused.fault in ("BrokenPipeError", "ConnectionResetError"),
        f"{largest + 1} bytes: {_said(refused)}",
        f"{largest + 1}: {refused.status or refused.fault} after {refused.seconds:.1f} s",
    )
    findings.expect(refused.seconds < patience(5), f"refused after {refused.seconds:.1f} s only")
    told = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}
    with serving(image, mounted(model_of(image)), environment=told) as raised:
        raised.wait_ready()
        more = raised.invoke(_of_size(19 * 1024 * 1024, kind))
        findings.expect(reached(more), f"raised to 20: {_said(more)}", "20 MB if told")
    return findings.seen()


def _of_size(size: int, content_type: str) -> Message:
    """A JSON string: no server need make sense of it."""
    body = b'"' + b"a " * (size // 2 - 1) + b" " * (size % 2) + b'"'
    return Message(body, content_type)


def _said(reply: Reply) -> str:
    return f"{reply.status or reply.fault}: {reply.body[:200]!r}"


@clause("H07")
def errors_are_short_and_clean(image: Image) -> str:
    """400, 415 and 406 with a short JSON error; no reply tells of the server's insides.

    How: the workload's bad requests, paths and methods that there may not be, and a model's script
    that raises; each reply is looked through for tracebacks, paths and names of libraries.
    Remedy: catch everything, tell the caller what he did wrong, and the log the rest.
    AWS: Custom Inference Code with Hosting Services: How Your Container Should Respond to
    Inference Requests
    """
    findings = Findings()
    server, hosting = shared(image), hosting_of(image)
    for message, status in hosting.bad:
        reply = server.invoke(message)
        name = f"{message.body[:20]!r} as {message.content_type}"
        findings.expect(reply.status == status, f"{name}: {_said(reply)}, not {status}")
        _expect_clean(findings, reply, hosting.forbidden, name)
    for method, path in (("GET", "/"), ("GET", "/models"), ("DELETE", "/ping"), ("PUT", "/%00")):
        reply = server.ask(method, path)
        findings.expect(200 <= reply.status < 500, f"{method} {path}: {_said(reply)}")
        _expect_clean(findings, reply, hosting.forbidden, f"{method} {path}")
    findings.note(f"{len(hosting.bad) + 4} bad requests")
    if hosting.takes_scripts:
        _model_raises(image, findings)
    return findings.seen()


_RAISES = """
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    raise RuntimeError("a fault of the model's own")
"""


def _model_raises(image: Image, findings: Findings) -> None:
    with serving(image, mounted(script(image, _RAISES))) as server:
        server.wait_ready()
        reply = server.invoke(image.workload.hosting.message)
        what = "a model's script that raises"
        findings.expect(reply.status >= 400, f"{what}: {_said(reply)}", f"{what}: {reply.status}")
        _expect_clean(findings, reply, image.workload.hosting.forbidden, what)


def _expect_clean(findings: Findings, reply: Reply, forbidden: Sequence[str], name: str) -> None:
    text = reply.body.decode("utf-8", "replace")
    told = [word for word in forbidden if word in text]
    findings.expect(not told, f"{name}: the reply tells {told}")
    findings.expect(len(reply.body) <= _SHORT, f"{name}: a reply of {len(reply.body)} bytes")
    findings.expect(isinstance(reply.json(), dict), f"{name}: no JSON object: {text[:100]!r}")
