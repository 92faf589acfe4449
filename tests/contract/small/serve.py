#!/usr/bin/python3
"""A server that keeps every clause of hosting, but for what BREAKS names.

Threads answer HTTP; each model has worker processes of its own (pool.py).
"""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from pool import Pool
from told import breaks, cores, die, memory, number

MODEL = Path("/opt/ml/model")
MARGIN = 80 * 2**20
"""Bytes that a model needs beside what the largest took."""


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
        payload = min(100, max(1, self.state.limit // 2**20))
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
            has_freed_all = not state.pools and not breaks("memory-kept")
            if before + state.largest + MARGIN > limit and not has_freed_all:
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
