"""True batches: what came in while the executors were busy goes through the model together.

A lone request never waits: with all cores free, what is there is taken, be it one row. Where
several were in flight, those who just got their replies often ask again within a millisecond or
two. The next batch waits for them, as all that read the weights together read them once, and as the
model would only take the cores from those who carry the replies.

The first executor computes on all cores, and does so alone while one batch holds all that there is
to do. When there is more, the others share it evenly, each on a thread of its own, which wastes
less than all cores on one batch do. Only the first one ever has helpers: OpenMP gives each thread
that computes helpers of its own, and where those are more than the cores, it lets none of them wait
awake for more work. That makes each of the hundred parts of a computation wait for a thread to be
woken.
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
"""No part of a batch that executors share is smaller: each of them reads all weights, which is most
of what so few tokens take."""
DELAY = 0.008
"""Seconds. Two busy cores carry 8 replies and the next 8 requests in some 4 ms."""
PAYS = 0.75
"""It has paid to wait where such a part of those who got replies asked again in that time."""
MOST_RESTS = 31
"""After so many batches at most, waiting is tried again."""


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
    delay: float | None = None
    """Seconds that an executor, after a batch with company in flight, waits for as many requests to
    be there again; None: half as long as the batch took, at most ``DELAY``."""


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


class Gathering:
    """After a batch with company: the time in which those who got replies should ask again.

    Callers that send one request after the other do; others come when they like. Whether it paid to
    wait decides how soon that is tried again.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._company = self._replies = self._came = 0
        self._until = 0.0
        self._rests = self._next_rests = 0

    def begin(self, begun: float, replies: int, in_flight: int) -> None:
        """A batch that began at ``begun`` is over; ``in_flight``: requests, those answered too."""
        if in_flight < 2 or self._is_resting():
            self._company = 0
            return
        now, delay = time.monotonic(), self._limits.delay
        self._until = now + (min(DELAY, (now - begun) / 2) if delay is None else delay)
        self._company = min(in_flight, self._limits.requests)
        self._replies, self._came = replies, 0

    def _is_resting(self) -> bool:
        if self._limits.delay is not None or self._rests == 0:
            return False
        self._rests -= 1
        return True

    def arrived(self, now: float) -> None:
        """A request has come."""
        self._came += now < self._until

    def left(self, waiting: int) -> float:
        """Seconds for which so many requests should wait for more."""
        return self._until - time.monotonic() if waiting < self._company else 0.0

    def end(self) -> None:
        """The next batch begins."""
        if self._company:
            has_paid = self._came >= PAYS * self._replies
            self._next_rests = 0 if has_paid else min(2 * self._next_rests + 1, MOST_RESTS)
            self._rests = self._next_rests
        self._company = 0


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
        self._idle: dict[int, float] = {}
        self._gathering = Gathering(self._limits)
        self._in_flight = self._busy = 0
        self._running = self._waiting = 0
        """Tokens that are computed now, and that wait."""
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
        now = time.monotonic()
        job = _Job(ordered, [[] for _ in rows], now, done, left=len(rows))
        with self._lock:
            self._start()
            self._gathering.arrived(now)
            self._jobs.append(job)
            self._in_flight += 1
            self._waiting += sum(map(len, rows))
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
        if number is None:
            return
        patience = self._patience(number)
        # One that wakes by itself is called only for what it shall begin at once.
        if patience == 0 or (patience < inf and self._idle[number] == inf):
            del self._idle[number]
            self._calls[number].notify()

    def _run(self, number: int) -> None:
        while True:
            with self._lock:
                while (patience := self._patience(number)) > 0:
                    self._idle[number] = patience
                    self._calls[number].wait(None if patience == inf else patience)
                    self._idle.pop(number, None)
                self._gathering.end()
                batch, requests = self._take()
                tokens = sum(len(row) for _, _, row in batch)
                others = self._busy
                self._busy += 1
                self._waiting -= tokens
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
                self._call()  # what this one leaves may be another's

    def _patience(self, number: int) -> float:
        """Seconds for which this executor lets what waits wait; infinite: until it is called.

        For company: never for a lone request, nor beside another batch. For the first executor:
        while all that there is to do fits one batch, which is done as soon on all cores.
        """
        is_little = self._running + self._waiting <= self._limits.tokens
        if not self._busy and is_little:
            left = self._gathering.left(len(self._jobs))
            if left > 0:
                return left
        if not self._jobs or (is_little and (number > 0 or self._busy > 0)):
            return inf
        return 0.0

    def _take(self) -> tuple[list[tuple[_Job, int, Row]], int]:
        """The next batch, and how many requests are in it; rows of a large request in parts.

        A request of which a part was taken goes behind the others: none has to wait for 10,000
        rows. One that found no room any more is the next batch's first.
        """
        budget = self._budget()
        batch: list[tuple[_Job, int, Row]] = []
        requests = 0
        while self._jobs and requests < self._limits.requests and (budget > 0 or not batch):
            job = self._jobs.popleft()
            before = job.taken
            while job.taken < len(job.rows):
                place, row = job.rows[job.taken]
                if batch and len(row) > budget:
                    budget = 0
                    break
                batch.append((job, place, row))
                job.taken += 1
                budget -= len(row)
            if job.taken == before:
                self._jobs.appendleft(job)
                break
            job.begun = job.begun or time.monotonic()
            requests += 1
            if job.taken < len(job.rows):
                self._jobs.append(job)
        return batch, requests

    def _budget(self) -> int:
        """Tokens of the next batch: an even share of what waits among the free executors."""
        if self._running + self._waiting <= self._limits.tokens:
            return self._limits.tokens
        share = -(-self._waiting // max(1, self._executors - self._busy))
        return min(max(share, LEAST_TOKENS), self._limits.tokens)

    def _compute_batch(
        self, batch: list[tuple[_Job, int, Row]], requests: int, threads: int
    ) -> None:
        begun = time.monotonic()
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
            if self._busy == 1:
                self._gathering.begin(begun, len(finished), self._in_flight)
            self._in_flight -= len(finished)
        for job in finished:
            try:
                job.done(job.outcome())
            except BaseException:  # the next requests need this thread
                traceback.print_exc()
