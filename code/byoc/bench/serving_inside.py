"""`python -m byoc.bench.serving_inside`, in the serving image: the model without a server.

Reads {"texts": […], "seconds": n} from stdin; prints JSON: sentences a second by precision, batch
and way of using the cores, and how long one sentence's tokens and a hop through a socket take.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from itertools import cycle
from statistics import median
from typing import Any

BATCHES = (4, 8, 16, 32, 64)


def main() -> None:
    asked = json.load(sys.stdin)
    found: dict[str, Any] = {"rates": []}
    for precision in asked.get("precisions", ("auto", "bf16", "fp32")):
        os.environ["BYOC_PRECISION"] = precision
        _measure(asked["texts"], asked["seconds"], precision, found)
    found["hop_ms"] = _hop()
    print(json.dumps(found))


def _measure(texts: list[str], seconds: float, precision: str, found: dict[str, Any]) -> None:
    from byoc import contract
    from byoc.cores import available_cores
    from byoc.serving.inference import model_fn

    classifier, cores = model_fn(str(contract.model_dir())), available_cores()
    rows = classifier.tokenizer.rows(texts)
    compute = classifier.batcher._compute
    found["cores"] = cores
    found["tokens_ms"] = _tokens(classifier, texts)
    found.setdefault("one_ms", _one(compute, rows, cores, seconds))  # of the default precision
    for batch in BATCHES:
        for parallel in {1, cores}:
            rate = _rate(compute, rows, batch, parallel, cores, seconds)
            entry = {"precision": precision, "batch": batch, "parallel": parallel, "rate": rate}
            found["rates"].append(entry)


def _tokens(classifier: Any, texts: list[str]) -> float:
    """Milliseconds to read a request and tokenize its one sentence, and to write the reply."""
    from byoc.serving.inference import input_fn, output_fn

    took = []
    for text in texts[:1000]:
        body = json.dumps({"inputs": text}).encode()
        begin = time.perf_counter()
        data = input_fn(body, "application/json")
        classifier.tokenizer.rows(data.texts, data.pairs)
        output_fn([{"label": "acceptable", "score": 0.5}], "application/json")
        took.append(time.perf_counter() - begin)
    return median(took) * 1000


def _hop() -> float:
    """Milliseconds to another process and back through a Unix socket, as a request goes."""
    mine, theirs = socket.socketpair()
    process = os.fork()
    if process == 0:
        while theirs.recv(4096) != b"end":
            theirs.sendall(bytes(1000))
        os._exit(0)
    took = []
    for _ in range(2000):
        begin = time.perf_counter()
        mine.sendall(bytes(1000))
        mine.recv(4096)
        took.append(time.perf_counter() - begin)
    mine.sendall(b"end")
    os.waitpid(process, 0)
    return median(took) * 1000


def _one(compute: Any, rows: list[Any], cores: int, seconds: float) -> float:
    """Milliseconds for one sentence on all cores, P50."""
    took, end = [], time.monotonic() + seconds
    for row in cycle(rows):
        begin = time.perf_counter()
        compute([row], cores)
        took.append(time.perf_counter() - begin)
        if time.monotonic() > end:
            return median(took) * 1000
    return 0.0


def _rate(
    compute: Any, rows: list[Any], batch: int, parallel: int, cores: int, seconds: float
) -> float:
    """Sentences a second: so many batches at a time, which share the cores."""
    parts = [rows[first : first + batch] for first in range(0, len(rows) - batch + 1, batch)]
    batches = [sorted(part, key=len) for part in parts]
    counts = [0] * parallel
    start = threading.Barrier(parallel + 1)

    def work(number: int) -> None:
        compute(batches[number], cores // parallel)
        start.wait()
        end = time.monotonic() + seconds
        for part in cycle(batches[number::parallel]):
            compute(part, cores // parallel)
            counts[number] += len(part)
            if time.monotonic() > end:
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(parallel)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begin)


if __name__ == "__main__":
    main()
