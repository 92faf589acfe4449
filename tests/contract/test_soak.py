"""`serve` for a long time at 70% of its peak: no error, and no more memory at the end.

``BYOC_SOAK_SECONDS``: how long; `make soak-serving` takes half an hour.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import MISSING, Served

from tiny_model import WORDS, write_tiny_model

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.timeout(7200),
]

SECONDS = float(os.environ.get("BYOC_SOAK_SECONDS", "120"))
SETTLED = min(300.0, SECONDS / 3)
"""After so many seconds memory must not grow any more."""
CLIENTS = 8
PEAK_SECONDS = 10.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("soak")
    write_tiny_model(base / "model")
    found = Served(base)
    found.wait_ready()
    yield found
    assert found.stop() == 0


def some_request(chance: random.Random) -> tuple[bytes, str]:
    """Bodies of all forms, some of them refused."""
    texts = [
        " ".join(chance.choices(WORDS[5:], k=chance.randint(0, 40)))
        for _ in range(chance.choice([1, 1, 1, 1, 8]))
    ]
    kind = chance.randrange(10)
    if kind == 0:
        return b'{"inputs": 1}', "application/json"
    if kind == 1:
        return "\n".join(f'"{text}"' for text in texts).encode(), "application/jsonlines"
    if kind == 2:
        return ("\n".join(texts) + "\n.").encode(), "text/csv"
    return json.dumps({"inputs": texts}).encode(), "application/json"


class Clients:
    """Sends requests at a rate (all it can, without one), and counts the replies by status."""

    def __init__(self, served: Served, rate: float | None) -> None:
        self.seen: Counter[int | str] = Counter()
        self._port, self._rate = served.port, rate
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        due = time.monotonic()
        while not self._end.is_set():
            if self._rate:
                due += chance.expovariate(self._rate / CLIENTS)
                if self._end.wait(max(0.0, due - time.monotonic())):
                    break
            body, kind = some_request(chance)
            try:
                connection.request("POST", "/invocations", body, {"Content-Type": kind})
                reply = connection.getresponse()
                reply.read()
                self.seen[reply.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.seen[type(error).__name__] += 1
                connection.close()
        connection.close()

    def stop(self) -> Counter[int | str]:
        self._end.set()
        for thread in self._threads:
            thread.join()
        return self.seen


def memory(served: Served) -> int:
    """Bytes of all its processes; what several share counts once."""
    return sum(proportional(pid) for pid in served.descendants())


def proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def test_no_error_and_no_growth(served: Served) -> None:
    peak = Clients(served, None)
    time.sleep(PEAK_SECONDS)
    rate = 0.7 * sum(peak.stop().values()) / PEAK_SECONDS
    load, begin = Clients(served, rate), time.monotonic()
    seen: list[tuple[float, int]] = []
    try:
        while time.monotonic() - begin < SECONDS:
            time.sleep(1)
            assert served.ping() == 200
            seen.append((time.monotonic() - begin, memory(served)))
    finally:
        counts = load.stop()
    window = SECONDS / 12
    settled = statistics.median(size for at, size in seen if SETTLED < at < SETTLED + window)
    end = statistics.median(size for at, size in seen if at > SECONDS - window)
    print(
        f"{sum(counts.values())} requests at {rate:.0f} a second; {settled / 2**20:.0f} MB after "
        f"{SETTLED:.0f} s, {end / 2**20:.0f} MB at the end ({end / settled - 1:+.1%})"
    )
    assert set(counts) == {200, 400}, counts
    told = [line for line in served.log.read_text().splitlines() if not line.startswith("{")]
    assert served.metrics()["byoc_worker_restarts_total"] == 0, "\n".join(told[-100:])
    assert end <= 1.05 * settled
