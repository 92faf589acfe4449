"""Failures that the user can mend, told in one line."""

from __future__ import annotations


class TrainingFault(Exception):  # noqa: N818  (the user's fault, or the tree's)
    """Its message says what is wrong, where, and what to do; no traceback is of any use."""


class StoppedError(BaseException):
    """The job was told to stop (SIGTERM).

    No ``Exception``: it may be raised anywhere, and libraries take those for faults of their own.
    """
