"""Failures that the user can mend, told in one line."""

from __future__ import annotations


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
    """What an error says, in one line; the bare cause where it is the operating system's."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0]
