"""What ends `serve`, and what is wrong with a request."""

from __future__ import annotations


class ServingFault(Exception):  # noqa: N818 - the word that our messages use
    """Ends `serve` with a non-zero exit; the message is the cause, for the log.

    ``details`` is what helps to mend it, such as a traceback of the model's own code.
    """

    def __init__(self, cause: str, details: str = "") -> None:
        super().__init__(cause)
        self.details = details


class RequestFault(Exception):  # noqa: N818
    """Something that the caller can mend: the status and the message are the reply."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class NotLoaded(Exception):  # noqa: N818
    """The model cannot be loaded; the supervisor has been told why."""
