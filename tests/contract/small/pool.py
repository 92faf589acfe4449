"""The workers of a model: processes of their own (worker.py), replaced when they die."""

import json
import os
import queue
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from told import breaks, cores

WORKER = str(Path(__file__).with_name("worker.py"))


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
