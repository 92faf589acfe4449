#!/usr/bin/python3
"""A server that keeps every clause of hosting, but for what BREAKS names.

Threads answer HTTP; each model has worker processes of its own (worker.py).
"""

import contextlib
import json
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

WORKER = "/opt/program/worker.py"
MODEL = Path("/opt/ml/model")
MARGIN = 80 * 2**20
"""Bytes that a model needs beside what the largest took."""


def breaks(name: str) -> bool:
    return name in os.environ.get("BREAKS", "").split(",")


def number(name: str, default: int) -> int:
    """A variable of the toolkit's; a wrong one ends the program."""
    text = os.environ.get(f"SAGEMAKER_{name}", "")
    try:
        found = int(text or default)
        if found < 0:
            raise ValueError
    except ValueError:
        die(f"SAGEMAKER_{name}={text} is no number")
    return found


def die(cause: str):
    print(f"serve: {cause}", file=sys.stderr, flush=True)
    os._exit(1)


def cores() -> int:
    """Of the container, by its cgroup."""
    if breaks("hosts-cores"):
        return os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        if quota > 0:
            return max(1, quota // period)
    except (OSError, ValueError):
        pass
    return os.cpu_count() or 1


def memory() -> tuple:
    """Bytes that are held by programs, and the container's limit."""
    for root, held, limit in (
        ("/sys/fs/cgroup", "anon", "memory.max"),
        ("/sys/fs/cgroup/memory", "total_rss", "memory.limit_in_bytes"),
    ):
        try:
            stat = dict(it.split() for it in Path(root, "memory.stat").read_text().splitlines())
            text = Path(root, limit).read_text().strip()
            return int(stat[held]), 2**60 if text == "max" else int(text)
        except (OSError, KeyError, ValueError):
            continue
    return 0, 2**60


class Worker:
    """A process that holds a model."""

    def __init__(self, folder: str, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, WORKER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def ready(self) -> bool:
        return self.answer(60)[0] == 200

    def ask(self, header: dict, body: bytes, seconds: float) -> tuple:
        """Status, type and body; 502 where it died, 504 where it was too slow: then it is ended."""
        head = json.dumps({**header, "size": len(body)}).encode()
        try:
            self.process.stdin.write(struct.pack("<I", len(head)) + head + body)
            self.process.stdin.flush()
        except OSError:
            return 502, "application/json", b'{"error": "the worker died"}'
        return self.answer(seconds)

    def answer(self, seconds: float) -> tuple:
        # A frame is written at once: when its first byte is here the rest comes.
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.end()
            return 504, "application/json", b'{"error": "it took too long"}'
        size = self.process.stdout.read(4)
        if len(size) < 4:
            return 502, "application/json", b'{"error": "the worker died"}'
        header = json.loads(self.process.stdout.read(struct.unpack("<I", size)[0]))
        return header["status"], header["type"], self.process.stdout.read(header["size"])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Pool:
    """The workers of one model."""

    def __init__(self, folder: str, url: str, workers: int) -> None:
        self.folder, self.url, self.count = folder, url, workers
        self.threads = max(1, cores() // workers)
        self.idle: queue.Queue[Worker] = queue.Queue()
        self.workers: list = []
        self.is_closed = False

    def load(self) -> bool:
        self.workers = [Worker(self.folder, self.threads) for _ in range(self.count)]
        are_ready = [it.ready() for it in self.workers]
        if not all(are_ready):
            self.close()
            return False
        for worker in self.workers:
            self.idle.put(worker)
        return True

    def is_alive(self) -> bool:
        return any(it.process.poll() is None for it in self.workers)

    def ask(self, header: dict, body: bytes, seconds: float) -> tuple:
        end = time.monotonic() + 55
        while True:
            try:
                worker = self.idle.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return 503, "application/json", b'{"error": "too busy"}'
            if worker.process.poll() is None:
                break
            self.replace(worker)
        reply = worker.ask(header, body, seconds)
        if worker.process.poll() is None and reply[0] not in (502, 504):
            self.idle.put(worker)
        else:
            self.replace(worker)
        return reply

    def replace(self, worker: Worker) -> None:
        """Another in the place of a dead one, beside what goes on."""
        if worker not in self.workers or breaks("dead-stay-dead"):
            return
        self.workers.remove(worker)
        threading.Thread(target=self.add, daemon=True).start()

    def add(self) -> None:
        worker = Worker(self.folder, self.threads)
        if worker.ready() and not self.is_closed:
            self.workers.append(worker)
            self.idle.put(worker)
        else:
            worker.end()

    def watch(self) -> None:
        """Finds workers that died while nobody asked them."""
        while not self.is_closed:
            for worker in list(self.workers):
                if worker.process.poll() is not None:
                    self.replace(worker)
            time.sleep(0.1)

    def close(self) -> None:
        self.is_closed = True
        for worker in self.workers:
            worker.end()


class State:
    """What the whole program knows."""

    def __init__(self) -> None:
        self.many = os.environ.get("SAGEMAKER_MULTI_MODEL") == "true"
        self.timeout = number("MODEL_SERVER_TIMEOUT", 58)
        self.workers = number("MODEL_SERVER_WORKERS", 0) or (1 if self.many else cores())
        self.is_batch = os.environ.get("SAGEMAKER_BATCH") == "true"
        megabytes = number("MAX_PAYLOAD_IN_MB", 6)
        self.limit = 2**62 if breaks("no-limit") else megabytes * 1024 * 1024
        if breaks("five-megabytes"):
            self.limit = 5 * 1024 * 1024
        if breaks("batch-limit-fixed") and self.is_batch:
            self.limit = 6 * 1024 * 1024
        if breaks("workers-fixed"):
            self.workers = 1
        if breaks("no-timeout"):
            self.timeout = 600
        if breaks("answers-cut-at-20-s"):
            self.timeout = min(self.timeout, 20)
        self.pools: dict = {}
        self.lock, self.counting = threading.Lock(), threading.Lock()
        self.largest = 0
        self.in_flight = 0
        self.was_ready = False

    def is_ready(self) -> bool:
        if self.many:
            empty = breaks("sick-without-models") and self.was_ready and not self.pools
            return not empty
        if breaks("healthy-at-once"):
            return True
        return any(pool.is_alive() for pool in self.pools.values())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    timeout = 30
    state: State

    def log_message(self, *_words) -> None:
        pass

    def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def tell(self, status: int, message: str) -> None:
        self.reply(status, json.dumps({"error": message}).encode())

    def send_error(self, code: int, message=None, _explain=None) -> None:
        self.tell(code, message or "bad request")

    def do_GET(self) -> None:
        self.route("GET")

    def do_POST(self) -> None:
        self.route("POST")

    def do_PUT(self) -> None:
        self.route("PUT")

    def do_DELETE(self) -> None:
        self.route("DELETE")

    def route(self, method: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.dispatch(method, urlsplit(self.path))

    def dispatch(self, method: str, url) -> None:
        state, path = self.state, url.path
        if (method, path) == ("GET", "/ping"):
            self.ping()
        elif (method, path) == ("POST", "/invocations") and not state.many:
            self.invoke(next(iter(state.pools.values()), None))
        elif (method, path) == ("GET", "/execution-parameters"):
            self.reply(200, json.dumps(self.parameters()).encode())
        elif state.many and (path == "/models" or path.startswith("/models/")):
            self.models(method, path.removeprefix("/models").lstrip("/"), parse_qs(url.query))
        else:
            self.tell(404, "there is nothing here")

    def ping(self) -> None:
        state = self.state
        if breaks("ping-waits") and state.in_flight > 1:
            time.sleep(3)
        ready = state.is_ready()
        self.reply(200 if ready else 503, b"{}")

    def parameters(self) -> dict:
        payload = max(1, self.state.limit // 2**20)
        count = 50 if breaks("too-much-at-once") else min(self.state.workers, 100 // payload)
        return {
            "MaxConcurrentTransforms": max(1, count),
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": payload,
        }

    def body(self) -> "bytes | None":
        size = int(self.headers.get("Content-Length") or 0)
        if size > self.state.limit:
            self.tell(413, "the body is too large")
            return None
        return self.rfile.read(size)

    def invoke(self, pool: "Pool | None") -> None:
        if pool is None:
            self.tell(503, "still loading")
            return
        body = self.body()
        if body is None:
            return
        if breaks("odd-headers-refused") and "X-Unknown" in self.headers:
            self.tell(500, "what is X-Unknown?")
            return
        header = {
            "type": self.headers.get("Content-Type", ""),
            "accept": self.headers.get("Accept", ""),
        }
        status, kind, answer = pool.ask(header, body, self.state.timeout)
        self.reply(status, answer, kind)

    def models(self, method: str, rest: str, query: dict) -> None:
        name, _, verb = rest.partition("/")
        name = rest.split("/")[0] if breaks("names-split") else unquote(name)
        if breaks("names-split"):
            name = unquote(name).split("/")[0]
        pools = self.state.pools
        if not rest and method == "POST":
            self.load()
        elif not rest and method == "GET":
            self.page(int(query.get("next_page_token", ["0"])[0]))
        elif name not in pools:
            missing = breaks("missing-models-found") and method == "GET"
            self.tell(200 if missing else 404, "this model is not loaded")
        elif method == "GET":
            self.reply(200, json.dumps(self.described(name)).encode())
        elif method == "DELETE":
            pool = pools.pop(name)
            if not breaks("memory-kept"):
                pool.close()
            self.reply(200, b"{}")
        elif (method, verb) == ("POST", "invoke"):
            self.invoke(pools[name])
        else:
            self.tell(405, "no such method")

    def described(self, name: str) -> dict:
        return {"modelName": name, "modelUrl": self.state.pools[name].url}

    def page(self, start: int) -> None:
        names = sorted(self.state.pools)
        found: dict = {"models": [self.described(it) for it in names[start : start + 5]]}
        if start + 5 < len(names):
            found["nextPageToken"] = str(start + 5)
        self.reply(200, json.dumps(found).encode())

    def load(self) -> None:
        state, given = self.state, json.loads(self.body() or b"{}")
        name, url = given["model_name"], given["url"]
        if name in state.pools and not breaks("loads-twice"):
            self.tell(409, "this model is loaded")
            return
        if not Path(url).is_dir():
            self.tell(404, "there is no such model")
            return
        with state.lock:
            before, limit = memory()
            if before + state.largest + MARGIN > limit and state.pools:
                self.tell(507, "not enough memory")
                return
            pool = Pool(url, url, state.workers)
            if not pool.load():
                self.tell(500, "the model cannot be loaded")
                return
            state.largest = max(state.largest, memory()[0] - before)
            state.pools[name] = pool
            state.was_ready = True
        self.reply(200, b"{}")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    # Counted from the moment a connection is taken: a thread may be slow to begin.
    def process_request(self, request, address) -> None:
        with Handler.state.counting:
            Handler.state.in_flight += 1
        super().process_request(request, address)

    def process_request_thread(self, request, address) -> None:
        try:
            super().process_request_thread(request, address)
        finally:
            with Handler.state.counting:
                Handler.state.in_flight -= 1

    def drain(self) -> None:
        """Takes what has connected already, and nobody after it."""
        self.socket.listen(0)
        self.socket.setblocking(False)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            try:
                request, address = self.socket.accept()
            except BlockingIOError:
                time.sleep(0.01)
                continue
            request.setblocking(True)
            self.process_request(request, address)
        self.socket.close()


def load_model(state: State) -> None:
    folder = MODEL
    known = (folder / "model.json").is_file() or (folder / "code/inference.py").is_file()
    if not known and not breaks("serves-nothing"):
        die(f"there is no model in {folder}")
    pool = Pool(str(folder), str(folder), state.workers)
    if not pool.load():
        if breaks("serves-nothing"):
            return
        die(f"the model in {folder} cannot be loaded")
    state.pools["model"] = pool
    threading.Thread(target=pool.watch, daemon=True).start()


def check_surroundings() -> None:
    if breaks("downloads") and "00000000" not in default_routes():
        die("cannot download the model: no network")
    if breaks("writes-outside-tmp"):
        try:
            Path("/var/cache/serve").write_text("here")
        except OSError as error:
            die(f"cannot write to /var/cache: {error}")


def default_routes() -> list:
    lines = Path("/proc/net/route").read_text().splitlines()[1:]
    return [line.split()[1] for line in lines]


def main() -> None:
    check_surroundings()
    state = State()
    Handler.state = state
    port = 8080 if breaks("port-fixed") else int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    server = Server(("", port), Handler)
    if breaks("second-port"):
        other = socket.create_server(("", 8500))
        other.listen()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    if not state.many:
        threading.Thread(target=load_model, args=(state,), daemon=True).start()
    told = threading.Event()
    if not breaks("deaf-to-sigterm"):
        signal.signal(signal.SIGTERM, lambda *_: told.set())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    told.wait()
    if breaks("drops-what-is-in-flight"):
        os._exit(0)
    server.shutdown()
    server.drain()
    end = time.monotonic() + 25
    while state.in_flight and time.monotonic() < end:
        time.sleep(0.02)
    for pool in state.pools.values():
        pool.close()
    os._exit(143 if breaks("stops-with-143") else 0)


main()
