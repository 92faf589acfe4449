"""What a clause's check says of an image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Outcome:
    """``seen``: what the image did, or why it was not tried; ``cause``: of a fail, one line."""

    id: str
    asked: str
    verdict: Verdict
    seen: str
    cause: str = ""
    remedy: str = ""
    page: str = ""
    seconds: float = 0.0


class Failed(Exception):  # noqa: N818  (a verdict, as the two below)
    """The image breaks the clause; the message is the cause."""

    def __init__(self, cause: str, seen: str = "") -> None:
        super().__init__(cause)
        self.seen = seen


class TooSlow(Failed):
    """Right, but late. A busy machine may be to blame: the runner tries again, alone."""


class NotApplicable(Exception):  # noqa: N818
    """The clause asks nothing of this image; the message says why."""


class NotTried(Exception):  # noqa: N818
    """The check needs what it was not given or what is not here; the message says what."""


_LONGEST, _MOST = 400, 8
"""Characters of one finding, and findings of one clause: an image may say a lot."""


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"


def _joined(findings: list[str]) -> str:
    more = [f"and {len(findings) - _MOST} more"] if len(findings) > _MOST else []
    return "; ".join([*map(_short, findings[:_MOST]), *more])


class Findings:
    """Gathers what a check sees and everything that is wrong, so that one run tells it all."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._faults: list[str] = []

    def note(self, text: str) -> None:
        self._seen.append(text)

    def expect(self, is_so: bool, fault: str, seen: str = "") -> bool:
        """Notes ``seen`` where it is so, ``fault`` where it is not; returns ``is_so``."""
        if not is_so:
            self._faults.append(fault)
        elif seen:
            self._seen.append(seen)
        return is_so

    def seen(self) -> str:
        """Everything that was seen; raises ``Failed`` where anything is wrong."""
        seen = "; ".join(map(_short, self._seen))
        if self._faults:
            raise Failed(_joined(self._faults), seen)
        return seen
