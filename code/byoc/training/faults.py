"""Failures that the user can mend, told in one line."""

from __future__ import annotations

import errno
import os

_REMEDIES = {
    os.strerror(errno.ENOSPC): "; the job needs a larger volume (VolumeSizeInGB)",
    os.strerror(errno.EROFS): "; mount it so that it can be written to",
}
"""By the operating system's words."""


class TrainingFault(Exception):  # noqa: N818  (the user's fault, or the tree's)
    """Its message says what is wrong, where, and what to do; no traceback is of any use."""


class LostPeerError(TrainingFault):
    """Another of the processes that train together has gone: not this one's own fault."""


class ToldFault(TrainingFault):
    """The user's script has written output/failure itself: that text stays."""


class StoppedError(BaseException):
    """The job was told to stop (SIGTERM).

    No ``Exception``: it may be raised anywhere, and libraries take those for faults of their own.
    """


def reason(error: BaseException) -> str:
    """What an error says, in one line; the bare cause where it is the operating system's, and what
    to do about a disk that is full or cannot be written to."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    # safetensors has an exception of its own, with the operating system's words in it.
    return text + next((remedy for sign, remedy in _REMEDIES.items() if sign in text), "")
