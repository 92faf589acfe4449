"""True batches: what came in while the executors were busy goes through the model together.

Nobody ever waits for company: with all cores free, what is there is taken, be it one row. Under
load rows gather by themselves.

The first executor computes on all cores, and does so alone while there is little to do. When there
is more, the others share it evenly, each on a thread of its own, which wastes less than all cores
on one batch do. Only the first one ever has helpers: OpenMP gives each thread that computes helpers
of its own, and where those are more than the cores, it lets none of them wait awake for more work.
That makes each of the hundred parts of a computation wait for a thread to be woken.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from queue import SimpleQueue
from typing import NamedTuple

LEAST_TOKENS = 64
"""Below this a batch is not divided among executors, nor begun beside another as small: each of
them reads all weights, which is most of what so few tokens take."""


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
        self._in_flight = self._busy = self._running = 0
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
        """Wakes an executor, if there is one to do what waits: always the first that is idle.

        This way requests that come one by one meet the same threads, which are still awake.
        """
        number = min(self._idle, default=None)
        if number is not None and self._patience(number) < inf:
            self._idle.remove(number)
            self._calls[number].notify()

    def _run(self, number: int) -> None:
        while True:
            with self._lock:
                while (patience := self._patience(number)) > 0:
                    self._idle.add(number)
                    self._calls[number].wait(None if patience == inf else patience)
                    self._idle.discard(number)
                batch, requests = self._take()
                tokens = sum(len(row) for _, _, row in batch)
                others = self._busy
                self._busy += 1
                self._running += tokens
                if self._idle and self._patience(min(self._idle)) == 0:
                    others += 1
                    self._call()
                threads = max(1, self._threads // self._executors)
                if number == 0:
                    threads = max(threads, self._threads - others * threads)
            self._compute_batch(batch, requests, threads)
            with self._lock:
                self._busy -= 1
                self._running -= tokens

    def _patience(self, number: int) -> float:
        """Seconds for which this executor lets what waits wait; infinite: until it is called.

        For more of it: never without the delay, never for a lone request. For the first executor:
        while there is little to do, which is done as soon on all cores.
        """
        if not self._jobs:
            return inf
        is_second = number > 0 or self._busy > 0
        if is_second and max(self._running, self._waiting(LEAST_TOKENS)) <= LEAST_TOKENS:
            return inf
        if not self._limits.delay or self._in_flight < 2:
            return 0.0
        if len(self._jobs) >= self._limits.requests:
            return 0.0
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
        waiting = self._waiting(self._limits.tokens * self._executors)
        share = -(-waiting // max(1, self._executors - self._busy))
        return min(max(share, LEAST_TOKENS), self._limits.tokens)

    def _waiting(self, enough: int) -> int:
        """Tokens that wait, counted until they are more than enough."""
        found = 0
        for job in self._jobs:
            found += sum(len(row) for _, row in job.rows[job.taken : job.taken + 512])
            if found > enough:
                break
        return found

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
