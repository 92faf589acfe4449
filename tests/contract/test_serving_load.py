"""`serve` under load: a full queue, SIGTERM, killed workers, one that hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import MISSING, Served, arguments, wait_until, write_script

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

PATIENT = """
import os, time
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    time.sleep(float(body))
    return str(os.getpid())
"""


class Load:
    """Clients that ask again and again, each on a new connection, and count what they get."""

    def __init__(self, served: Served, clients: int, body: bytes) -> None:
        self.seen: Counter[str] = Counter()
        self.slowest_ping = 0.0
        self._served, self._body = served, body
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self._threads.append(threading.Thread(target=self._ping))
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                status, _, body = self._served.ask("POST", "/invocations", self._body)
                self.seen[str(status)] += 1
                assert status == 200 or json.loads(body)["error"]
            except ConnectionRefusedError:
                self.seen["refused"] += 1
                time.sleep(0.05)
            except OSError as error:
                self.seen[type(error).__name__] += 1

    def _ping(self) -> None:
        while not self._end.wait(0.05):
            begin = time.monotonic()
            status = self._served.ping()
            self.slowest_ping = max(self.slowest_ping, time.monotonic() - begin)
            self.seen[f"ping {status}"] += 1

    def stop(self) -> Counter[str]:
        self._end.set()
        for thread in self._threads:
            thread.join()
        return self.seen


def holders(served: Served) -> set[int]:
    """Processes that answer, by what they say of themselves."""
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(served.ask, "POST", "/invocations", b"0.1") for _ in range(8)]
    return {int(it.result()[2]) for it in asked}


def test_a_full_queue_is_503_with_a_time_and_still_healthy(tmp_path: Path) -> None:
    write_script(tmp_path, PATIENT)
    served = Served(tmp_path, BYOC_QUEUE_SIZE="2")
    try:
        served.wait_ready()
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(served.ask, "POST", "/invocations", b"0.4") for _ in range(12)]
            most = 0.0
            while not all(it.done() for it in asked):
                most = max(most, served.metrics()["byoc_requests_in_flight"])
                begin = time.monotonic()
                assert served.ping() == 200
                assert time.monotonic() - begin < 2
        assert most >= 3  # one is computed, two wait
        replies = [it.result() for it in asked]
        statuses = Counter(status for status, _, _ in replies)
        assert set(statuses) == {200, 503}
        assert statuses[200] >= 3
        refused = next(reply for reply in replies if reply[0] == 503)
        assert refused[1]["Retry-After"] == "1"
        assert b"request_id" in refused[2]
    finally:
        served.close()


def test_sigterm_under_load_fails_no_request_that_was_accepted(tmp_path: Path) -> None:
    write_script(tmp_path, PATIENT)
    served = Served(tmp_path, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    try:
        served.wait_ready()
        load = Load(served, 8, b"0.02")
        wait_until(lambda: load.seen["200"] > 50)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0
        seen = load.stop()
        assert set(seen) <= {"200", "refused", "ping 200", "ping 503", "ping 0"}, seen
    finally:
        served.close()


def test_a_killed_worker_takes_only_what_it_held(tmp_path: Path) -> None:
    write_script(tmp_path, PATIENT)
    served = Served(tmp_path, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    try:
        served.wait_ready()
        wait_until(lambda: len(holders(served)) == 2)
        victim = max(holders(served))
        load = Load(served, 4, b"0.02")
        wait_until(lambda: load.seen["200"] > 20)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: len(holders(served) - {victim}) == 2, 10)
        assert time.monotonic() - killed < 10
        seen = load.stop()
        failed = sum(count for kind, count in seen.items() if kind not in ("200", "ping 200"))
        assert failed <= 1, seen  # a script's worker holds one request at a time
        assert set(seen) <= {"200", "502", "ping 200"}, seen
        assert served.metrics()["byoc_worker_restarts_total"] == 1
    finally:
        served.close()


@pytest.mark.parametrize("part", ["model_service_worker", "java", "nginx"])
def test_what_loads_and_what_passes_on_may_be_killed_too(tmp_path: Path, part: str) -> None:
    """The container recovers or ends; it never says 200 to a ping and then answers nothing."""
    write_script(tmp_path, PATIENT)
    served = Served(tmp_path)
    try:
        served.wait_ready()
        victims = [pid for pid in served.descendants() if part in arguments(pid)]
        assert victims
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):  # some go with others
                os.kill(pid, signal.SIGKILL)
        time.sleep(1)  # what is told of them may be half a second old
        wait_until(lambda: served.process.poll() is not None or served.ping() == 200, 40)
        if served.process.poll() is None:
            assert served.ask("POST", "/invocations", b"0")[0] == 200
        else:
            assert served.process.returncode == 1
            assert served.log.read_text().splitlines()[-1].startswith("serve: ")
            assert served.descendants() == []
    finally:
        served.close()
