"""True batches: what came in while the executors were busy goes through the model together.

Nobody ever waits for company: a free executor takes what is there, be it one row. Under load rows
gather by themselves, and executors share them evenly. With several executors each computes on
fewer threads, which wastes less than all cores on one batch do.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

LEAST_TOKENS = 64
"""A batch is not divided among executors below this: the weights are read once for each part."""


@dataclass(frozen=True)
class Row:
    """One input as the model takes it."""

    ids: Sequence[int]
    types: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)


Compute = Callable[[list[Row], int], list[list[float]]]
"""Scores of rows sorted by length, computed on so many threads."""


@dataclass(frozen=True)
class Limits:
    """Of one batch."""

    requests: int = 32
    tokens: int = 256
    """Reached by several rows only: one row may be longer. From about 200 on a token costs no less,
    and above 350 more: what lies between the layers no longer fits a core's cache."""
    delay: float = 0.0
    """Seconds that a request with company in flight may wait for more of it."""


class Passed(NamedTuple):
    """``scores`` in the rows' order; ``requests`` that the last of them ran with; ``waited``:
    seconds until the first of them ran."""

    scores: list[list[float]]
    requests: int
    waited: float


Done = Callable[["Passed | BaseException"], None]
"""Told what became of a request, or what the computation raised."""


@dataclass
class _Job:
    """A request's rows, shortest first, and the scores that are there already."""

    rows: list[tuple[int, Row]]
    scores: list[list[float]]
    since: float
    done: Done
    begun: float = 0.0
    taken: int = 0
    left: int = 0
    batch: int = 0
    error: BaseException | None = None

    def outcome(self) -> Passed | BaseException:
        return self.error or Passed(self.scores, self.batch, self.begun - self.since)


class Batcher:
    """Computes rows for many threads at once. Its own threads start with the first row."""

    def __init__(
        self, compute: Compute, executors: int, threads: int, limits: Limits | None = None
    ) -> None:
        self._compute = compute
        self._executors, self._threads = executors, threads
        self._limits = limits or Limits()
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._calls = [threading.Condition(self._lock) for _ in range(executors)]
        self._idle: set[int] = set()
        self._in_flight = self._busy = 0
        self._started = False

    def scores(self, rows: Sequence[Row]) -> Passed:
        """Computes the rows, and waits for them; raises what the computation raised."""
        found: SimpleQueue[Passed | BaseException] = SimpleQueue()
        self.submit(rows, found.put)
        outcome = found.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def submit(self, rows: Sequence[Row], done: Done) -> None:
        """Has the rows computed, and returns at once.

        ``done`` runs in the thread that computed the last of them: it must be short, and must not
        raise.
        """
        if not rows:
            done(Passed([], 0, 0.0))
            return
        ordered = sorted(enumerate(rows), key=lambda pair: len(pair[1]))
        job = _Job(ordered, [[] for _ in rows], time.monotonic(), done, left=len(rows))
        with self._lock:
            self._start()
            self._jobs.append(job)
            self._in_flight += 1
            self._call()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for number in range(self._executors):
                name = f"executor {number}"
                threading.Thread(target=self._run, args=(number,), daemon=True, name=name).start()

    def _call(self) -> None:
        """Wakes an executor: always the first one that is idle.

        Each has threads of its own to compute on, and those of one that has just finished keep
        their cores busy for a while, waiting for more. Taking turns, one would be in the other's
        way; this way requests that come one by one meet the same warm threads.
        """
        if self._idle:
            number = min(self._idle)
            self._idle.remove(number)
            self._calls[number].notify()

    def _run(self, number: int) -> None:
        while True:
            with self._lock:
                while not self._jobs or self._waits():
                    self._idle.add(number)
                    self._calls[number].wait(self._patience())
                    self._idle.discard(number)
                batch, requests = self._take()
                self._busy += 1
                threads = max(1, self._threads // self._busy)
                if self._jobs:
                    self._call()
            self._compute_batch(batch, requests, threads)
            with self._lock:
                self._busy -= 1

    def _waits(self) -> bool:
        """Is it worth it to wait for more? Never without the delay, never for a lone request."""
        if not self._limits.delay or self._in_flight < 2:
            return False
        is_full = len(self._jobs) >= self._limits.requests
        return not is_full and time.monotonic() - self._jobs[0].since < self._limits.delay

    def _patience(self) -> float | None:
        if not self._jobs:
            return None
        return max(0.0, self._limits.delay - (time.monotonic() - self._jobs[0].since))

    def _take(self) -> tuple[list[tuple[_Job, int, Row]], int]:
        """The next batch, and how many requests are in it; rows of a large request in parts.

        A request that is not done goes behind the others: none has to wait for 10,000 rows.
        """
        budget = self._budget()
        batch: list[tuple[_Job, int, Row]] = []
        requests = 0
        while self._jobs and requests < self._limits.requests and (budget > 0 or not batch):
            job = self._jobs.popleft()
            job.begun = job.begun or time.monotonic()
            requests += 1
            while job.taken < len(job.rows):
                place, row = job.rows[job.taken]
                if batch and len(row) > budget:
                    budget = 0
                    break
                batch.append((job, place, row))
                job.taken += 1
                budget -= len(row)
            if job.taken < len(job.rows):
                self._jobs.append(job)
        return batch, requests

    def _budget(self) -> int:
        """Tokens of the next batch: an even share of what waits among the free executors."""
        waiting = 0
        for job in self._jobs:
            waiting += sum(len(row) for _, row in job.rows[job.taken : job.taken + 512])
            if waiting > self._limits.tokens * self._executors:
                return self._limits.tokens
        share = -(-waiting // max(1, self._executors - self._busy))
        return min(max(share, LEAST_TOKENS), self._limits.tokens)

    def _compute_batch(
        self, batch: list[tuple[_Job, int, Row]], requests: int, threads: int
    ) -> None:
        batch.sort(key=lambda entry: len(entry[2]))
        error: BaseException | None = None
        scores: list[list[float]] = []
        try:
            scores = self._compute([row for _, _, row in batch], threads)
        except BaseException as caught:  # whoever asked is told
            error = caught
        finished = []
        with self._lock:
            for number, (job, place, _) in enumerate(batch):
                if error is None:
                    job.scores[place] = scores[number]
                job.error = job.error or error
                job.batch = requests
                job.left -= 1
                if job.left == 0:
                    finished.append(job)
            self._in_flight -= len(finished)
        for job in finished:
            try:
                job.done(job.outcome())
            except BaseException:  # the next requests need this thread
                traceback.print_exc()
