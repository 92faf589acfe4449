"""How a training job ended: SageMaker's status from exit code, failure file and artifacts."""

from __future__ import annotations

import signal
from typing import Any

from byoc.contract import FAILURE_LIMIT

STOPPED = 128 + signal.SIGTERM


def outcome(
    exit_code: int, failure: str, *, asked_to_stop: bool, out_of_time: bool, last_words: str
) -> dict[str, Any]:
    """The fields of DescribeTrainingJob that tell of the end.

    ``failure`` is the text of output/failure, ``last_words`` the log's last line, which stands in
    for it where the program died without a word.
    """
    if out_of_time:
        return _ended("Stopped", "MaxRuntimeExceeded")
    if exit_code in (STOPPED, -signal.SIGTERM) or (asked_to_stop and exit_code != 0):
        return _ended("Stopped", "Stopped")
    if exit_code == 0 and not failure:
        return _ended("Completed", "Completed")
    reason = failure.strip()[:FAILURE_LIMIT]
    if not reason:
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        reason = f"the training program ended with {how}"
        reason += f": {last_words}" if last_words else " and said nothing"
    return {**_ended("Failed", "Failed"), "FailureReason": reason}


def _ended(status: str, secondary: str) -> dict[str, Any]:
    return {"TrainingJobStatus": status, "SecondaryStatus": secondary}
