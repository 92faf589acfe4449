"""`python -m byoc.bench.serving`: what the serving image does under load, beside the stock stack.

All servers are containers of the same image, on all cores of this machine, which the load comes
from as well; all are up during the whole run, and take turns under load in short rounds, so that
what else the machine does meets each of them. A figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from rich.console import Console
from rich.table import Table

from byoc.bench.images import BenchError
from byoc.bench.serving_agreement import AgreementError
from byoc.bench.serving_load import Load, LoadError, Sender, between
from byoc.bench.serving_servers import (
    ALONE,
    ECHO,
    ECHO_SCRIPT,
    OURS,
    PADDED,
    STOCK_PEER,
    STOCK_SCRIPT,
    Peer,
    Server,
    ServerError,
    docker,
    running,
)
from byoc.bench.training import Figure

PARTS = ("alone", "load", "open", "curve", "memory", "start", "agreement")
LEVELS = (1, 8, 32)
CURVE = (1, 2, 4, 8, 16, 32, 64, 128)
MORE_WORKERS = 3

_IMPORT_AND_LOAD = """
import torch, transformers
model = transformers.AutoModelForSequenceClassification.from_pretrained("/opt/ml/model")
transformers.AutoTokenizer.from_pretrained("/opt/ml/model")
"""


class Bench:
    """The parts, each of which gives figures."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        from byoc.bench import training_data

        self.options, self.scratch = options, scratch
        self.source = training_data.find(options.data, scratch)
        self.model = scratch / "ours"
        training_data.write_encoder(self.model, self.source, options.model)
        for path in self.model.iterdir():
            (scratch / "stock").mkdir(exist_ok=True)
            os.link(path, scratch / "stock" / path.name)  # one file of weights for all
        _write_script(scratch / "stock", STOCK_SCRIPT)
        _write_script(scratch / "nothing", ECHO_SCRIPT)
        self.texts = [row.text for row in training_data.table(self.source.train).rows()]
        self.sender = Sender(self.texts, scratch)
        self.best_alone: dict[str, Any] | None = None
        self.loads: dict[int, dict[str, Load]] = {}
        """By concurrency, what ``load`` has measured."""

    def _running(self, stack: ExitStack, *peers: Peer) -> dict[str, Server]:
        found = {}
        for peer in peers:
            model = self.scratch / peer.model
            found[peer.name] = stack.enter_context(running(peer, self.options.image, model))
        return found

    def _in_turns(self, servers: dict[str, Server], level: int) -> dict[str, Load]:
        """Each server under this load, for so many seconds in all."""
        rounds, seconds = self.options.rounds, self.options.seconds / self.options.rounds
        loads: dict[str, list[Load]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                loads[name].append(self.sender.closed(f"{server.url}/invocations", level, seconds))
        found = {name: between(runs) for name, runs in loads.items()}
        for name, it in found.items():
            print(
                f"  {level:3} at a time, {name}: {it.rate:.1f}/s, P50 {it.p50:.1f}, "
                f"P95 {it.p95:.1f}, P99 {it.p99:.1f} ms, {it.failed} of {it.requests} failed",
                flush=True,
            )
        return found

    def alone(self) -> Iterator[Figure]:
        found = self._alone()
        best = found["best"]
        rates = {
            precision: max(it["rate"] for it in found["rates"] if it["precision"] == precision)
            for precision in dict.fromkeys(it["precision"] for it in found["rates"])
        }
        yield Figure(
            "the model alone, sentences/s: best batch, best use of the cores",
            f"{best['rate']:.0f}: {best['precision']}, {best['parallel']} batches of "
            f"{best['batch']} at a time; "
            + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
            + f"; one sentence: {found['one_ms']:.1f} ms",
        )

    def _alone(self) -> dict[str, Any]:
        """Measured once, with no server running."""
        if self.best_alone is None:
            asked = {"texts": self.texts[:2048], "seconds": self.options.seconds / 20}
            command = ["docker", "run", "--rm", "-i", "-v", f"{self.model}:/opt/ml/model:ro"]
            command += [self.options.image, "python3", "-m", "byoc.bench.serving_inside"]
            done = subprocess.run(
                command, input=json.dumps(asked), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise ServerError(f"the model alone: {done.stderr.strip()[-200:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            found["best"] = max(found["rates"], key=lambda it: it["rate"])
            self.best_alone = found
        return self.best_alone

    def load(self) -> Iterator[Figure]:
        alone = self._alone()
        with ExitStack() as stack:
            servers = self._running(stack, OURS, ALONE, STOCK_PEER, PADDED)
            before = len(servers["ours"].requests())
            loads = {1: self._in_turns(servers, 1)}
            # Those that wrk gave up at the end of a round have no reply.
            requests = [it for it in servers["ours"].requests()[before:] if it["status"] == 200]
            loads |= {level: self._in_turns(servers, level) for level in LEVELS[1:]}
        self.loads = loads
        yield from _latencies(loads)
        for level in LEVELS[1:]:
            yield from _throughputs(level, loads[level])
        share = loads[32]["ours"].rate / alone["best"]["rate"]
        yield Figure(
            "throughput at 32 over the model alone", f"{share:.0%}", ">= 70%", share >= 0.7
        )
        yield _overhead(loads[1]["ours"], requests, alone, *self._without_model())
        gains = {level: it["ours"].rate / it["batch 1"].rate for level, it in loads.items()}
        yield Figure(
            "dynamic batching over batch 1, throughput at " + ", ".join(map(str, gains)),
            ", ".join(f"{gain:.2f}x" for gain in gains.values()),
            ">= 0.97 each",
            min(gains.values()) >= 0.97,
        )

    def _without_model(self) -> tuple[float, float]:
        """P50, ms, one at a time: of what the front answers itself, and of a model that computes
        nothing."""
        seconds = self.options.seconds / 4
        with ExitStack() as stack:
            (server,) = self._running(stack, ECHO).values()
            front = self.sender.closed(f"{server.url}/execution-parameters", 1, seconds)
            whole = self.sender.closed(f"{server.url}/invocations", 1, seconds)
        return front.p50, whole.p50

    def open(self) -> Iterator[Figure]:
        with ExitStack() as stack:
            servers = self._running(stack, OURS, STOCK_PEER)
            for name, server in servers.items():
                url = f"{server.url}/invocations"
                peak = self._closed(name, server, 32).rate
                for part in (0.3, 0.6, 0.8):
                    it = self.sender.open(url, part * peak, self.options.seconds)
                    yield Figure(
                        f"open loop, {name}, at {part:.0%} of {peak:.0f}/s",
                        f"{it.rate:.0f}/s: P50 {it.p50:.1f}, P95 {it.p95:.1f}, P99 {it.p99:.1f} ms"
                        + (f", {it.failed} failed" if it.failed else ""),
                    )

    def curve(self) -> Iterator[Figure]:
        from byoc.bench.serving_plot import plot

        curves: dict[str, dict[int, Load]] = {}
        with ExitStack() as stack:
            servers = self._running(stack, OURS, STOCK_PEER, PADDED)
            for level in CURVE:
                for name, server in servers.items():
                    curves.setdefault(name, {})[level] = self._closed(name, server, level)
        plot(curves, self.options.plot)
        for name, loads in curves.items():
            told = ", ".join(f"{it.p50:.0f} ({it.rate:.0f})" for it in loads.values())
            yield Figure(f"{name}: P50, ms, and requests/s at {', '.join(map(str, loads))}", told)

    def _closed(self, name: str, server: Server, level: int) -> Load:
        """What ``load`` has measured, else a short round."""
        known = self.loads.get(level, {}).get(name)
        url = f"{server.url}/invocations"
        return known or self.sender.closed(url, level, self.options.seconds / 4)

    def memory(self) -> Iterator[Figure]:
        sizes = {}
        for workers in (1, MORE_WORKERS):
            variables = {"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)}
            with ExitStack() as stack:
                peer = Peer("ours", "", variables)
                (server,) = self._running(stack, peer).values()
                self.sender.closed(f"{server.url}/invocations", 32, self.options.seconds / 10)
                sizes[workers] = server.memory()
        further = (sizes[MORE_WORKERS] - sizes[1]) / (MORE_WORKERS - 1)
        share = further / sizes[1]
        yield Figure(
            "memory of a further worker over the first",
            f"{share:.2f} ({further / 1e6:.0f} MB over {sizes[1] / 1e6:.0f} MB)",
            "<= 1/3",
            share <= 1 / 3,
        )

    def start(self) -> Iterator[Figure]:
        from byoc.bench.images import _median, _run, _until_ping

        image = self.options.image
        volume = ["--volume", f"{self.model}:/opt/ml/model:ro"]
        command = ["run", "--rm", *volume, image, "python3", "-c", _IMPORT_AND_LOAD]
        bare = _median(lambda: _timed(lambda: _run(*command)))
        ready = _median(lambda: _until_ping(image, self.model))
        yield Figure(
            "container start to the first 200, over bare import and load",
            f"{ready / bare:.2f}x ({ready:.1f} s over {bare:.1f} s)",
            "<= 1.3x",
            ready <= 1.3 * bare,
        )

    def agreement(self) -> Iterator[Figure]:
        from byoc.bench.serving_agreement import measure

        what = "the default kernel and fp32, an encoder fine-tuned on CoLA: same label"
        if self.options.model is None:
            yield Figure(what, "not measured: give a pretrained encoder with --model DIR", ">= 99%")
            return
        it = measure(self.source, self.options.model, self.scratch, self.options.tuned)
        yield Figure(
            what, f"{it.same:.2%} of {it.rows} rows ({it.told})", ">= 99%", it.same >= 0.99
        )
        yield Figure(
            "the same: difference of MCC, with its 95% bootstrap interval",
            f"{it.difference:+.4f} [{it.interval[0]:+.4f}, {it.interval[1]:+.4f}] "
            f"from {it.exact:.3f}",
            "<= 0.02",
            abs(it.difference) <= 0.02,
        )


def _latencies(loads: dict[int, dict[str, Load]]) -> Iterator[Figure]:
    ours, stock = loads[1]["ours"], loads[1]["stock"]
    for name in ("p50", "p95"):
        mine, theirs = getattr(ours, name), getattr(stock, name)
        yield Figure(
            f"1 at a time: {name.upper()} over stock",
            f"1/{theirs / mine:.1f} ({mine:.1f} over {theirs:.1f} ms)",
            "<= 1/5",
            mine <= theirs / 5,
        )
    yield _tail(1, loads[1])


def _throughputs(level: int, loads: dict[str, Load]) -> Iterator[Figure]:
    ours = loads["ours"]
    for name, least in (("stock", 4), ("padded", 25)):
        gain = ours.rate / loads[name].rate
        yield Figure(
            f"{level} at a time: throughput over {name}",
            f"{gain:.1f}x ({ours.rate:.0f} over {loads[name].rate:.1f} requests/s)",
            f">= {least}x",
            gain >= least and ours.failed == 0,
        )
    yield _tail(level, loads)


def _tail(level: int, loads: dict[str, Load]) -> Figure:
    mine, theirs = loads["ours"].p99, loads["stock"].p99
    return Figure(
        f"{level} at a time: P99 over stock",
        f"1/{theirs / mine:.1f} ({mine:.1f} over {theirs:.1f} ms)",
        "<= 1/4",
        mine <= theirs / 4,
    )


def _overhead(
    load: Load, requests: list[dict[str, Any]], alone: dict[str, Any], front: float, whole: float
) -> Figure:
    """What is not the model, at one request at a time, and the share of each layer.

    ``front``, ``whole``: ms of a request that ends in the front, and of one without a model.
    """
    tokens, sockets = alone["tokens_ms"], 2 * alone["hop_ms"]
    overhead = load.p50 - (median(it["compute_ms"] for it in requests) - tokens)
    layers = {
        "front": front,
        "model server": whole - front - sockets,
        "its sockets": sockets,
        "codecs and tokenizer": tokens,
        "the rest": overhead - whole - tokens,
    }
    return Figure(
        "1 at a time: P50 less the model's own",
        f"{overhead:.2f} ms of {load.p50:.2f}: "
        + ", ".join(f"{name} {took:.2f}" for name, took in layers.items()),
        "<= 3 ms",
        overhead <= 3,
    )


def _write_script(folder: Path, text: str) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(text, encoding="utf-8")


def _timed(work: Any) -> float:
    begin = monotonic()
    work()
    return monotonic() - begin


def main() -> int:
    options = _options()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    docker("image", "inspect", options.image)
    console = Console(width=150 if not sys.stdout.isatty() else None)
    table = Table("measure", "measured", "must reach", "", title="serving")
    is_whole = True
    with tempfile.TemporaryDirectory(prefix="byoc-bench-serve-") as folder:
        bench = Bench(options, Path(folder))
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(
            f"{bench.source.told}; DistilBERT's size, random weights; {os.cpu_count()} cores for "
            f"servers and load; {options.seconds:.0f} s each; load average before: {load}",
            flush=True,
        )
        for part in options.only:
            begin = monotonic()
            try:
                for figure in getattr(bench, part)():
                    told = {True: "pass", False: "FAIL", None: ""}[figure.passed]
                    line = (figure.measure, figure.measured, figure.target, told)
                    table.add_row(*line)
                    print(f"| {' | '.join(line)} |", flush=True)
            except (AgreementError, BenchError, LoadError, ServerError) as error:
                is_whole = False
                table.add_row(part, f"not measured: {error}", "", "FAIL")
                print(f"bench-serve: {part}: {error}", file=sys.stderr, flush=True)
            print(f"  ({part} took {monotonic() - begin:.0f} s)", flush=True)
    console.print(table)
    return 0 if is_whole else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="byoc.bench.serving")
    parser.add_argument("--data", type=Path, default=Path("../shared/cola"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a pretrained encoder")
    parser.add_argument(
        "--tuned", type=Path, metavar="DIR", help="the encoder fine-tuned; trained, where missing"
    )
    parser.add_argument("--image", default=f"byoc-serving:{os.environ.get('ACCELERATOR') or 'cpu'}")
    parser.add_argument("--seconds", type=float, default=60, help="of each server under each load")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--short", action="store_true", help="5 s each: a first look")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--plot", type=Path, default=Path("docs/latency.svg"))
    options = parser.parse_args()
    if options.short:
        options.seconds, options.rounds = 5.0, 1
    return options


if __name__ == "__main__":
    sys.exit(main())
