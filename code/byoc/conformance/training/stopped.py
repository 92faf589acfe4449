"""Jobs of several epochs that several clauses look at: one whole, one stopped, one killed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from docker.errors import APIError

from byoc.conformance.image import Image
from byoc.conformance.job import END_SECONDS, Ended, Job, lay_out, run, started
from byoc.conformance.outcome import Failed, NotTried
from byoc.conformance.patience import patience

SHORTEST_SECONDS = 6.0
"""A shorter job may have no training in its middle, but a start or an end."""


@dataclass(frozen=True)
class Stopped:
    """``seconds``: from the signal to the end; ``first_process``: PID 1's command line."""

    ended: Ended
    seconds: float
    first_process: str


def whole_run(image: Image) -> Ended:
    """The longer job, never interrupted."""
    return image.once("whole run", lambda: run(image, lay_out(image, longer=True)))


def stopped_run(image: Image) -> Stopped:
    """The longer job, sent SIGTERM when it was under way."""
    return image.once("stopped run", lambda: _stop(image))


def killed_run(image: Image) -> Ended:
    """The longer job, sent SIGKILL after its first checkpoint, or when it was under way."""
    return image.once("killed run", lambda: _kill(image))


def _stop(image: Image) -> Stopped:
    half = _half(image)
    with started(image, lay_out(image, longer=True)) as job:
        under_way(job, half)
        first = _first_process(job)
        start = time.monotonic()
        if not job.signal("SIGTERM"):
            raise NotTried(f"the job ended before it could be stopped: {job.wait().cause}")
        ended = job.end_or_kill(120)
        return Stopped(ended, time.monotonic() - start, first)


def _first_process(job: Job) -> str:
    """PID 1's command line; a question mark where it has ended, or the image has no cat."""
    try:
        code, output = job.container.exec_run(["cat", "/proc/1/cmdline"])
    except APIError:
        return "?"
    return output.decode("utf-8", "replace").replace("\0", " ").strip() if code == 0 else "?"


def _kill(image: Image) -> Ended:
    half = _half(image)
    with started(image, lay_out(image, longer=True)) as job:
        under_way(job, half)
        job.signal("SIGKILL")
        return job.wait()


def _half(image: Image) -> float:
    """Half of the whole run's time, where no line is known that tells that a job is under way."""
    if image.workload.under_way:
        return 0.0
    whole = whole_run(image)
    if whole.code == 0 and whole.seconds < patience(SHORTEST_SECONDS):
        raise _too_short(whole)
    return whole.seconds / 2


def under_way(job: Job, seconds: float) -> None:
    """Waits for the workload's line, or else for so long."""
    if job.image.workload.under_way:
        job.until_line(job.image.workload.under_way)
        return
    start = time.monotonic()
    try:
        job.until(lambda: time.monotonic() - start > seconds, "half of its time", END_SECONDS)
    except Failed:
        # The first one may have been long for want of a free core alone.
        if not job.is_running() and (ended := job.wait()).code == 0:
            raise _too_short(ended) from None
        raise


def _too_short(ended: Ended) -> NotTried:
    return NotTried(
        f"a job takes {ended.seconds:.1f} s: too short to be stopped in the middle; "
        "--hyperparameters can make it longer"
    )
