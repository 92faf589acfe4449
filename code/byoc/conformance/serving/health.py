"""What /ping says, and how soon anything is said: H03 and H04."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings, TooSlow
from byoc.conformance.patience import patience
from byoc.conformance.serving.server import (
    LATE,
    PATIENT,
    Load,
    expect_taken,
    message_of,
    model_of,
    mounted,
    script,
    serving,
    timeout_of,
    until,
)

PING_SECONDS = 2.0
ACCEPT_SECONDS = 0.25
REPLY_SECONDS = 60.0
TIMEOUT = 3
"""Seconds, of one invocation."""


@clause("H03")
def ping_tells_the_truth(image: Image) -> str:
    """/ping: 200 while a worker with a loaded model lives, busy or not, within 2 s; else 503.

    How: an invocation right after the first 200 must be answered; under a load that fills the
    queue, /ping stays 200 and quick; with a worker stuck past the timeout it is 503 until the
    worker is replaced.
    Remedy: answer /ping in front of the workers, by whether they live.
    AWS: Custom Inference Code with Hosting Services: How Your Container Should Respond to Health
    Check (Ping) Requests
    """
    findings = Findings()
    with serving(image, mounted(model_of(image))) as server:
        seen = server.wait_ready()
        is_right = all(it in (0, 200) or it >= 500 for it in seen)
        findings.expect(is_right, f"while loading: {seen}", f"/ping: {seen}")
        reply = server.invoke(message_of(image))
        expect_taken(findings, image, reply, "right after the first 200")
        load = Load(server, 32, message_of(image))
        time.sleep(5)
        counts = load.stop()
        pings = {kind for kind in counts if kind.startswith("ping")}
        are_right = pings <= {"ping 200", f"ping {LATE}"}
        findings.expect(are_right, f"under load: {sorted(pings)}")
        slowest = f"slowest /ping under load {load.slowest_ping:.2f} s"
        if load.slowest_ping > PING_SECONDS:
            raise TooSlow(slowest, findings.seen())
        findings.note(slowest)
    if not image.workload.hosting.takes_scripts:
        findings.note("a stuck worker: not tried, needs a model that is a script")
        return findings.seen()
    _stuck_worker(image, findings)
    return findings.seen()


def _stuck_worker(image: Image, findings: Findings) -> None:
    told = timeout_of(TIMEOUT) | {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    with serving(image, mounted(script(image, PATIENT)), environment=told) as server:
        server.wait_ready()
        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(server.ask, "POST", "/invocations", b"600")
            statuses: list[int] = []

            def is_over() -> bool:
                statuses.append(server.ping().status)
                return stuck.done() and statuses[-1] == 200

            is_back = until(is_over, 30) or not server.is_running()
            findings.expect(is_back, "a stuck worker is never replaced")
            took = stuck.result().seconds
            findings.expect(
                503 in statuses or took < patience(TIMEOUT + 3),
                f"200 with the only worker stuck for {took:.0f} s, past its timeout",
                f"stuck for {took:.1f} s: " + ("503" if 503 in statuses else "replaced at once"),
            )
        if server.is_running():
            after = server.ask("POST", "/invocations", b"0").status
            findings.expect(after == 200, f"after a stuck worker: {after}", "replaced")


@clause("H04")
def quick_to_accept(image: Image) -> str:
    """Sockets are accepted within 250 ms, and a reply comes within 60 s.

    How: under a load of 16 clients, 50 connections are timed, and the slowest reply; a request
    whose computation takes longer than the timeout must get its reply within 60 s too.
    Remedy: listen with a backlog, and bound how long a request may take.
    AWS: Custom Inference Code with Hosting Services
    """
    findings = Findings()
    with serving(image, mounted(model_of(image))) as server:
        server.wait_ready()
        load = Load(server, 16, message_of(image))
        slowest = max(_connect_seconds(server.address) for _ in range(50))
        load.stop()
        said = f"slowest of 50 connections {1000 * slowest:.0f} ms"
        if slowest > ACCEPT_SECONDS:
            raise TooSlow(said)
        findings.note(said)
    if not image.workload.hosting.takes_scripts:
        findings.note("50 s of work: not tried, needs a model that is a script")
        return findings.seen()
    with serving(image, mounted(script(image, PATIENT))) as server:
        server.wait_ready()
        begin = time.monotonic()
        reply = server.invoke(Message(b"50", "text/plain"))
        took = time.monotonic() - begin
        findings.expect(reply.status == 200, f"50 s of work: {reply.status}", "50 s of work: 200")
        seen = findings.seen()
        if took > REPLY_SECONDS:
            raise TooSlow(f"a reply after {took:.0f} s", seen)
    return seen


def _connect_seconds(address: str) -> float:
    begin = time.monotonic()
    with socket.create_connection((address, 8080), timeout=5):
        took = time.monotonic() - begin
    time.sleep(0.02)
    return took
