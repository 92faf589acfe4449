"""How it ends, mends and is set: H09 to H11."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Hosting, Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings, TooSlow
from byoc.conformance.patience import patience
from byoc.conformance.serving.server import (
    LATE,
    PATIENT,
    REFUSED,
    RESET,
    Load,
    Server,
    hosting_of,
    model_of,
    mounted,
    script,
    serving,
    serving_apart,
    timeout_of,
    until,
)

STOP_SECONDS = 30.0
BACK_SECONDS = 10.0
_TWO = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}


@clause("H09")
def sigterm_is_orderly(image: Image) -> str:
    """SIGTERM: new requests are refused, those in flight are answered, exit 0 within 30 s.

    How: two requests of several seconds are in flight, eight clients ask on new connections all
    the time; every request but refused connections must get its 200. To an image that takes no
    script as a model the two are sent slowly: half of the body before SIGTERM, half after.
    Remedy: stop listening, wait for what is in flight, then end the workers.
    AWS: Custom Inference Code with Hosting Services: How SageMaker AI Stops Your Container
    """
    findings = Findings()
    hosting = hosting_of(image)
    scripts = hosting.takes_scripts
    model = script(image, PATIENT) if scripts else model_of(image)
    quick = Message(b"0.02", "text/plain") if scripts else hosting.message
    with serving_apart(image, mounted(model), environment=_TWO) as server:
        server.wait_ready()
        load = Load(server, 8, quick)
        time.sleep(1)
        with ThreadPoolExecutor(2) as pool:
            if scripts:
                slow = [pool.submit(server.invoke, Message(b"4", "text/plain")) for _ in range(2)]
            else:
                slow = [pool.submit(server.invoke_slowly, quick, 3.0) for _ in range(2)]
            time.sleep(0.5)
            begin = time.monotonic()
            server.signal("SIGTERM")
            code = server.wait(STOP_SECONDS + 5)
            took = time.monotonic() - begin
            statuses = [it.result().status for it in slow]
        seen = load.stop()
        failed = {
            kind: count
            for kind, count in seen.items()
            if kind not in (REFUSED, RESET, LATE)
            and not kind.startswith("ping")
            and not _taken(hosting, kind)
        }
        answered = all(hosting.takes(it) for it in statuses)
        findings.expect(answered, f"in flight: {statuses}", "in flight: answered")
        told = [line for line in server.log().splitlines() if "[error]" in line][-3:]
        findings.expect(
            not failed,
            f"under load: {failed}; its log: {' '.join(told)}",
            f"{sum(seen.values())} asked beside, none failed",
        )
        findings.expect(code in (0, None), f"exit {code}", f"exit {code} after {took:.1f} s")
        seen_so_far = findings.seen()
        if code is None or took > STOP_SECONDS:
            raise TooSlow(f"it did not end within {STOP_SECONDS:.0f} s", seen_so_far)
        # Those that it had not taken yet when it closed: refused, in a way, but not by intent.
        if reset := seen[RESET]:
            raise TooSlow(f"{reset} of {sum(seen.values())} connections reset", seen_so_far)
        _expect_in_time(seen, seen_so_far)
    return seen_so_far


def _taken(hosting: Hosting, kind: str) -> bool:
    return kind.isdigit() and hosting.takes(int(kind))


@clause("H10")
def a_dead_worker_is_replaced(image: Image) -> str:
    """A dead worker is replaced; what it held gets a 5xx, and no other request is lost.

    How: of two workers under load one is killed (SIGKILL); both must answer again within 10 s.
    Remedy: watch the workers, and start another in the place of a dead one.
    AWS: Custom Inference Code with Hosting Services
    """
    findings = Findings()
    with serving(image, mounted(script(image, PATIENT)), environment=_TWO) as server:
        server.wait_ready()
        both = until(lambda: len(_workers(server)) == 2, 10)
        findings.expect(both, f"told two workers: {len(_workers(server))} answer")
        victim = max(_workers(server), key=int)
        load = Load(server, 4, Message(b"0.02", "text/plain"))
        time.sleep(1)
        server.run("sh", "-c", f"kill -9 {int(victim)}")
        begin = time.monotonic()
        is_back = until(lambda: len(_workers(server) - {victim}) == 2, BACK_SECONDS)
        took = time.monotonic() - begin
        seen = load.stop()
        in_time = {kind: count for kind, count in seen.items() if not kind.endswith(LATE)}
        lost = sum(it for kind, it in in_time.items() if kind not in ("200", "ping 200"))
        findings.expect(is_back, "not two workers again within 10 s", f"back after {took:.1f} s")
        findings.expect(lost <= 2, f"lost: {dict(seen)}", f"{lost} of {sum(seen.values())} lost")
        seen_so_far = findings.seen()
        _expect_in_time(seen, seen_so_far)
    return seen_so_far


def _expect_in_time(seen: Mapping[str, int], seen_so_far: str) -> None:
    """A request that was not answered while its client waited is late, if not lost."""
    if late := sum(count for kind, count in seen.items() if kind.endswith(LATE)):
        raise TooSlow(f"{late} of {sum(seen.values())} not answered in time", seen_so_far)


def _workers(server: Server) -> set[str]:
    """Ids, inside the container, of the processes that answer."""
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.invoke, Message(b"0.1", "text/plain")) for _ in range(6)]
    return {it.result().body.decode() for it in asked if it.result().status == 200}


@clause("H11")
def variables_of_the_toolkit(image: Image) -> str:
    """Workers, timeout and log level by the toolkit's variables; a wrong value is told.

    How: SAGEMAKER_MODEL_SERVER_WORKERS=2 must give two that answer, a timeout of 2 s
    (SAGEMAKER_MODEL_SERVER_TIMEOUT and …_SECONDS) must end a request of 30 s,
    SAGEMAKER_CONTAINER_LOG_LEVEL=10 must not keep it from serving, and a wrong number must end
    the container.
    Remedy: read the variables that sagemaker-inference reads.
    AWS: SageMaker Inference Toolkit
    """
    findings = Findings()
    told = _TWO | timeout_of(2) | {"SAGEMAKER_CONTAINER_LOG_LEVEL": "10"}
    with serving(image, mounted(script(image, PATIENT)), environment=told) as server:
        server.wait_ready()
        both = until(lambda: len(_workers(server)) == 2, 10)
        findings.expect(both, f"two workers: {len(_workers(server))}", "two workers")
        reply = server.invoke(Message(b"30", "text/plain"))
        findings.expect(
            reply.status >= 500 and reply.seconds < patience(15),
            f"timeout of 2 s: {reply.status} after {reply.seconds:.0f} s",
            f"timeout: {reply.status} after {reply.seconds:.1f} s",
        )
    wrong = {"SAGEMAKER_MODEL_SERVER_WORKERS": "many"}
    with serving(image, mounted(script(image, PATIENT)), environment=wrong) as server:
        code = server.wait(patience(30))
        findings.expect(code not in (0, None), f"workers many: exit {code}", server.last_words())
    return findings.seen()
