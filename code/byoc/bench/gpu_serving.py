"""Serving on a GPU: the model alone, and under load ours beside the stock stack.

Servers are processes here: ours on a port of its own; the stock one, which writes to fixed places
of its machine and listens on 8080, while nothing else does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import quantiles

from byoc.bench.serving_load import Load, Sender
from byoc.bench.serving_servers import STOCK, STOCK_SCRIPT, ServerError, answers
from byoc.bench.training import Figure

LEVELS = (1, 8, 64)
BATCHES = (1, 8, 64)
LIMIT_SECONDS = 120.0
STOCK_PORT = 8080


def alone(model: Path, texts: Sequence[str]) -> Iterator[Figure]:
    """The model without a server, with graphs and as the stack around it would run it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from byoc.serving.engine import engine_of
    from byoc.serving.tokens import Tokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = Tokenizer(tokenizer, 512).rows(list(texts[:2048]))

    def loaded() -> object:
        return AutoModelForSequenceClassification.from_pretrained(model).to("cuda")

    begin = time.perf_counter()
    engine = engine_of(loaded())
    captured = time.perf_counter() - begin
    free, total = torch.cuda.mem_get_info()
    yield Figure(
        "load and capture",
        f"{captured:.1f} s; {(total - free) / 1e9:.2f} GB of the GPU: {engine.told}",
    )
    for count in BATCHES:
        parts = [rows[at : at + count] for at in range(0, len(rows) - count + 1, count)]
        batches = [sorted(part, key=len) for part in parts]
        took = _times(lambda batch: engine.compute(batch, 1), batches)
        yield Figure(f"the model alone, batches of {count}", _told(took, count))
    stock = pipeline("text-classification", model=str(model), tokenizer=str(model), device=0)
    took = _times(lambda text: stock(text), list(texts[:2048]))
    yield Figure("a plain transformers pipeline, one at a time", _told(took, 1))


def _times(work: object, items: Sequence[object], seconds: float = 2.0) -> list[float]:
    took: list[float] = []
    for item in items[:20]:
        work(item)  # type: ignore[operator]
    end = time.monotonic() + seconds
    for item in cycle(items):
        begin = time.perf_counter()
        work(item)  # type: ignore[operator]
        took.append(time.perf_counter() - begin)
        if time.monotonic() > end:
            break
    return took


def _told(took: Sequence[float], count: int) -> str:
    at = quantiles(took, n=20)
    rate = count * len(took) / sum(took)
    return f"{rate:,.0f} sentences/s; P50 {at[9] * 1e3:.2f}, P95 {at[18] * 1e3:.2f} ms"


def figures(model: Path, texts: Sequence[str], scratch: Path, seconds: float) -> Iterator[Figure]:
    """Under load; raises ``ServerError`` where a server does not answer."""
    sender = Sender(texts, scratch)
    ways = {
        "ours": {},
        "batch 1": {"BYOC_BATCH_SIZE": "1"},
        "one worker": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
    }
    found: dict[str, dict[int, Load]] = {}
    for name, variables in ways.items():
        with _ours(model, scratch / name.replace(" ", "-"), variables) as url:
            found[name] = _under_load(name, sender, url, seconds)
    with _stock(model, scratch / "stock") as url:
        found["stock"] = _under_load("stock", sender, url, seconds)
    ours, stock = found["ours"], found["stock"]
    gain = ours[64].rate / stock[64].rate
    yield Figure(
        "64 at a time: throughput over stock",
        f"{gain:.1f}x ({ours[64].rate:.0f} over {stock[64].rate:.0f} requests/s)",
        ">= 8x",
        gain >= 8 and ours[64].failed == 0,
    )
    yield Figure(
        "1 at a time: P95 over stock",
        f"1/{stock[1].p95 / ours[1].p95:.1f} ({ours[1].p95:.1f} over {stock[1].p95:.1f} ms)",
        "<= 1/2",
        ours[1].p95 <= stock[1].p95 / 2,
    )
    gain = ours[64].rate / found["batch 1"][64].rate
    yield Figure("64 at a time: dynamic batching over batch 1", f"{gain:.1f}x", ">= 3x", gain >= 3)


def _under_load(name: str, sender: Sender, url: str, seconds: float) -> dict[int, Load]:
    loads = {}
    for level in LEVELS:
        sender.closed(f"{url}/invocations", level, 1)
        it = loads[level] = sender.closed(f"{url}/invocations", level, seconds)
        print(
            f"  {level:3} at a time, {name}: {it.rate:.1f}/s, P50 {it.p50:.1f}, P95 {it.p95:.1f}, "
            f"P99 {it.p99:.1f} ms, {it.failed} of {it.requests} failed",
            flush=True,
        )
    return loads


@contextmanager
def _ours(model: Path, tree: Path, variables: Mapping[str, str]) -> Iterator[str]:
    tree.mkdir()
    (tree / "model").symlink_to(model)
    port = 8090
    known = {"SAGEMAKER_BASE_DIR": str(tree), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-m", "byoc.serving.main"]
    with _process(command, tree / "log", {**known, **variables}, port) as url:
        yield url


@contextmanager
def _stock(model: Path, tree: Path) -> Iterator[str]:
    shutil.copytree(model, tree / "model")
    (tree / "model" / "code").mkdir()
    (tree / "model" / "code" / "inference.py").write_text(STOCK_SCRIPT, encoding="utf-8")
    variables = {
        "SAGEMAKER_BASE_DIR": str(tree),
        "STOCK_ARGUMENTS": "{}",
        "STOCK_DEVICE": "cuda",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": str(tree / "model" / "code"),
    }
    with _process([sys.executable, *STOCK[1:]], tree / "log", variables, STOCK_PORT) as url:
        yield url


@contextmanager
def _process(
    command: Sequence[str], log: Path, variables: Mapping[str, str], port: int
) -> Iterator[str]:
    with ExitStack() as stack:
        stream = stack.enter_context(log.open("w"))
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + LIMIT_SECONDS
            while not answers("127.0.0.1", port):
                if time.monotonic() > end or process.poll() is not None:
                    said = log.read_text(errors="replace").strip().splitlines()
                    raise ServerError(f"{log.parent.name}: {' / '.join(said[-5:])}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
