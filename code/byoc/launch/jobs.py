"""Runs a training job in any of the places and waits for its end, with its log in view."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byoc.launch.aws_faults import reason
from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.launch.supervised import ENDED, JOBS

_POLL = {"process": 0.2, "local": 0.5}
_AWS_POLL = 15.0


class Follower:
    """Reads the new whole lines of a growing log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def lines(self, last: bool = False) -> list[str]:
        """Lines since the last call; with ``last``, an unfinished one as well."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._position)
                new = log.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        if last and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        # Progress bars overwrite their line: only what stood there last is of interest.
        return [line.decode("utf-8", "replace").rstrip("\r").split("\r")[-1] for line in whole]


def run(client: Client, request: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Starts the job and waits; returns its last description.

    ``say`` gets the log line by line (on AWS: the changes of status). Ctrl-C stops the job.
    Raises ``LaunchError`` with the FailureReason unless the job has completed.
    """
    name = request["TrainingJobName"]
    client.create_training_job(**request)
    say(f"training job {name} has started")
    try:
        ended = wait(client, name, say)
    except KeyboardInterrupt:
        with contextlib.suppress(LaunchError):
            client.stop_training_job(TrainingJobName=name)
            say(f"stopping training job {name}")
            wait(client, name, say)
        raise
    return checked(ended)


def checked(ended: dict[str, Any]) -> dict[str, Any]:
    """The description of a job that has completed; raises ``LaunchError`` with the FailureReason
    of any other."""
    name, status = ended["TrainingJobName"], ended["TrainingJobStatus"]
    if status == "Completed":
        return ended
    told = ended.get("FailureReason") or ended.get("SecondaryStatus") or "no reason given"
    raise LaunchError(f"training job {name}: {status}: {reason(told)}")


def wait(client: Client, name: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The description of a job that has ended, however it did; ``say`` as in ``run``."""
    log_file = getattr(client, "log_file", None)
    log = Follower(log_file(JOBS, name)) if log_file else None
    seconds = _POLL.get(getattr(client, "where", ""), _AWS_POLL)
    told = ""
    while True:
        found = client.describe_training_job(TrainingJobName=name)
        ended = found["TrainingJobStatus"] in ENDED
        if log is not None:
            for line in log.lines(last=ended):
                say(line)
        elif found.get("SecondaryStatus") != told:
            told = found.get("SecondaryStatus", "")
            say(f"training job {name}: {told}")
        if ended:
            return found
        time.sleep(seconds)
