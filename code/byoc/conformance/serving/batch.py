"""Batch transform: B01 to B03."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings, NotApplicable, NotTried, TooSlow
from byoc.conformance.patience import patience
from byoc.conformance.serving.server import (
    LATE,
    Server,
    expect_taken,
    hosting_of,
    message_of,
    model_of,
    mounted,
    reached,
    serving,
    shared,
)

_BATCH = {"SAGEMAKER_BATCH": "true"}
_MEGABYTE = 1024 * 1024


@clause("B01")
def tells_its_parameters(image: Image) -> str:
    """GET /execution-parameters: MaxConcurrentTransforms, BatchStrategy, MaxPayloadInMB.

    How: asked, and the values looked at: payload times transforms at most 100 MB.
    Remedy: answer with a JSON object, by the instance's size.
    AWS: Custom Inference Code with Batch Transform
    """
    findings = Findings()
    reply = shared(image).ask("GET", "/execution-parameters")
    if reply.status == 404:
        raise NotApplicable("404: it leaves them to each transform job, as it may")
    answer = reply.json()
    found = answer if isinstance(answer, dict) else {}
    findings.expect(reply.status == 200, f"{reply.status}: {reply.body[:200]!r}")
    transforms, payload = found.get("MaxConcurrentTransforms"), found.get("MaxPayloadInMB")
    findings.expect(isinstance(transforms, int) and transforms >= 1, f"transforms: {transforms}")
    findings.expect(isinstance(payload, int) and payload >= 0, f"payload: {payload}")
    if isinstance(transforms, int) and isinstance(payload, int):
        findings.expect(transforms * payload <= 100, f"{transforms} x {payload} MB is above 100")
    strategy = found.get("BatchStrategy")
    good = strategy in ("MultiRecord", "SingleRecord")
    findings.expect(good, f"BatchStrategy: {strategy}", str(found))
    return findings.seen()


@clause("B02")
def a_line_for_each_line(image: Image) -> str:
    """text/csv and application/jsonlines: one output line for each input line, in order.

    How: with SAGEMAKER_BATCH=true, lines of which one is bad (in a payload that was given, a lone
    quote or brace is put between them): as many must come out, an error in its place, the same as
    each line gives alone; a header that is declared is a record too.
    Remedy: split at line feeds, answer each line, and put an error where one cannot be answered.
    AWS: Use Batch Transform: Associate Prediction Results with their Corresponding Input Records
    """
    findings = Findings()
    messages = hosting_of(image).lines
    if not messages:
        raise NotTried("no --payload of lines given (text/csv or application/jsonlines)")
    with serving(image, mounted(model_of(image)), environment=_BATCH) as server:
        server.wait_ready()
        for message in messages:
            kind = message.content_type
            lines = message.body.removesuffix(b"\n").split(b"\n")
            whole = server.invoke(message)
            found = whole.body.removesuffix(b"\n").split(b"\n")
            is_even = whole.status == 200 and len(found) == len(lines)
            if not findings.expect(
                is_even, f"{kind}: {whole.status}, {len(found)} of {len(lines)}"
            ):
                continue
            for number, line in enumerate(lines):
                alone = server.invoke(Message(line + b"\n", kind, message.accept))
                same = _same(alone.body.removesuffix(b"\n"), found[number])
                told = f"{found[number]!r}, alone {alone.status}: {alone.body[:80]!r}"
                findings.expect(same, f"{kind}, line {number + 1}: {told}")
            middle = found[len(found) // 2]
            findings.note(f"{kind}: {len(lines)} lines, the middle one {middle[:80]!r}")
        for message in messages[:1]:
            if message.content_type == "text/csv":
                _header_is_a_record(server, message, findings)
    return findings.seen()


def _header_is_a_record(server: Server, message: Message, findings: Findings) -> None:
    """Or the declaration is refused: nothing is guessed then."""
    reply = server.invoke(
        Message(b"text\n" + message.body, "text/csv; header=present", message.accept)
    )
    if reply.status == 415:
        findings.note("a declared header is refused")
        return
    wanted = len(message.body.removesuffix(b"\n").split(b"\n")) + 1
    count = len(reply.body.removesuffix(b"\n").split(b"\n"))
    findings.expect(
        reply.status == 200 and count == wanted,
        f"a declared header: {reply.status}, {count} of {wanted} lines",
        "a header is a record",
    )


def _same(alone: bytes, found: bytes) -> bool:
    """But for the last digits of scores, which a batch's other rows may change."""
    return alone[:20] == found[:20]


@clause("B03")
def honours_its_variables(image: Image) -> str:
    """SAGEMAKER_BATCH and its companions are honoured; payload times concurrency up to 100 MB.

    How: five bodies of 20 MB at a time, as told by SAGEMAKER_MAX_PAYLOAD_IN_MB,
    SAGEMAKER_MAX_CONCURRENT_TRANSFORMS and SAGEMAKER_BATCH_STRATEGY.
    Remedy: read the variables, and leave the server memory enough for what it queues.
    AWS: Custom Inference Code with Batch Transform
    """
    findings = Findings()
    told = _BATCH | {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "5",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
    }
    message = message_of(image)
    with serving(image, mounted(model_of(image)), environment=told) as server:
        server.wait_ready()
        large = Message(b'"' + b"a " * (10 * _MEGABYTE - 1) + b'"', "application/jsonlines")
        with ThreadPoolExecutor(5) as pool:
            replies = list(pool.map(server.invoke, [large] * 5, [patience(60)] * 5))
        statuses = [it.status or it.fault for it in replies]
        if LATE in statuses:
            raise TooSlow(f"five of 20 MB: {statuses}")
        # What a stranger's model makes of the lines does not matter: that they reach it does.
        right = all(reached(it) for it in replies)
        if hosting_of(image).lines:
            right = all(it.status == 200 for it in replies)
        findings.expect(right, f"five of 20 MB: {statuses}", f"five of 20 MB: {statuses}")
        found = server.ask("GET", "/execution-parameters").json()
        findings.note(f"told: {found}")
        expect_taken(findings, image, server.invoke(message), "afterwards")
    return findings.seen()
