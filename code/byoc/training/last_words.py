"""What a program says last on stderr: passed through as it comes, and kept for the failure file."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from types import TracebackType

_KEPT = 64 * 1024
_DRAINED_WITHIN = 5.0
_LONGEST = 800
"""Of the 1,024 characters that SageMaker shows, with room for what stands before."""

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_RANK = re.compile(r"^\[rank\d+\]: ?")
_TRACEBACK = "Traceback (most recent call last):"
_WORKER_CODE = re.compile(r"^\s*exitcode\s*:\s*(-?\d+)", re.MULTILINE)


class LastWords:
    """While it is entered, stderr of this process and of all that it starts passes through here.

    Each chunk goes on at once and unchanged; the last 64 KiB are kept.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._saved = self._end = -1
        self._relay = threading.Thread(target=self._pass_on, daemon=True)

    def __enter__(self) -> LastWords:
        sys.stderr.flush()
        self._saved = os.dup(2)
        self._end, beginning = os.pipe()
        os.dup2(beginning, 2)
        os.close(beginning)
        self._relay.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _t: TracebackType | None,
    ) -> None:
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        # The pipe ends with its last writer; one that nobody could kill is not waited for.
        self._relay.join(_DRAINED_WITHIN)

    def _pass_on(self) -> None:
        while chunk := os.read(self._end, 65536):
            self._kept = (self._kept + chunk)[-_KEPT:]
            with contextlib.suppress(OSError):
                while chunk:
                    chunk = chunk[os.write(self._saved, chunk) :]

    def cause(self) -> str:
        """What ended the program, as the end of a sentence: ``: ValueError: …``; or nothing."""
        return find_cause(self._kept.decode("utf-8", "replace"))


def find_cause(text: str) -> str:
    """The last exception that ``text`` tells of, else its last line, else nothing."""
    plain = _COLOUR.sub("", text).replace("\r", "\n")
    lines = [_RANK.sub("", line).rstrip() for line in plain.split("\n")]
    found = [index for index, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    for index in reversed(found):
        told = next((line for line in lines[index + 1 :] if line and not line[0].isspace()), "")
        if told and "ChildFailedError" not in told:  # torchrun's own, after its worker's
            return f": {_short(told)}"
    if found and (codes := _WORKER_CODE.findall(plain)):
        return f": a worker of torchrun ended with exit code {codes[-1]}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if re.match(r"[A-Z]\w*(Error|Exception)\b", last):  # a SyntaxError comes without a traceback
        return f": {_short(last)}"
    return f"; the last line on stderr: {_short(last)}" if last else ""


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
