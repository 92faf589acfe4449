"""Jobs and endpoints on their way through the statuses that a test has named.

moto has everything done at once. Here each description finds a thing one step further.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]

KINDS = {
    "TrainingJob": "TrainingJobStatus",
    "TransformJob": "TransformJobStatus",
    "HyperParameterTuningJob": "HyperParameterTuningJobStatus",
    "Endpoint": "EndpointStatus",
    "EndpointUpdate": "EndpointStatus",
}
"""The things that have a status, and the field that tells it; ``KINDName`` tells the name."""
ENDED = ("Completed", "Failed", "Stopped", "InService", "OutOfService")


@dataclass
class Thing:
    """What is known of one job or endpoint beyond moto's own answer."""

    kind: str
    name: str
    request: Fields
    steps: list[Fields] = field(default_factory=list)
    """What is still to come; each holds fields of the description."""
    now: Fields = field(default_factory=dict)
    transitions: list[Fields] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Empty: as moto has it."""
        return str(self.now.get(KINDS[self.kind], ""))

    def advance(self) -> None:
        if not self.steps:
            return
        self.now = {**self.now, **self.steps.pop(0)}
        secondary = self.now.get("SecondaryStatus")
        if secondary and [it["Status"] for it in self.transitions][-1:] != [secondary]:
            moment = 1.8e9 + 60 * len(self.transitions)
            for it in self.transitions[-1:]:
                it["EndTime"] = moment
            message = self.now.get("StatusMessage", secondary)
            self.transitions.append(
                {"Status": secondary, "StartTime": moment, "StatusMessage": message}
            )

    def description(self, found: Fields) -> Fields:
        """moto's answer with what it forgets of the request, and the status of this moment."""
        more: Fields = {key: value for key, value in self.now.items() if key != "StatusMessage"}
        if self.transitions:
            more["SecondaryStatusTransitions"] = self.transitions
        described = {**found, **{k: v for k, v in self.request.items() if k != "Tags"}, **more}
        if self.status and self.status not in ENDED:
            for name in ("ModelArtifacts", "TrainingEndTime", "TransformEndTime"):
                described.pop(name, None)
        return described


class Progress:
    """All things, and what a test has planned for those to come."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], Thing] = {}
        self._plans: dict[tuple[str, str], list[Fields]] = {}
        self._lock = threading.Lock()

    def plan(self, kind: str, steps: Iterable[Fields], name: str = "") -> None:
        """``steps``: fields of the description, one step a description; ``name`` empty: of each
        new one."""
        assert kind in KINDS, kind
        thing = self.things.get((kind, name))
        if thing:
            thing.steps = [dict(step) for step in steps]
        else:
            self._plans[kind, name] = [dict(step) for step in steps]

    def plans_of(self, kind: str, name: str = "") -> list[Fields]:
        """Fresh copies of the steps that are planned for one of that name."""
        steps = self._plans.get((kind, name), self._plans.get((kind, ""), []))
        return [dict(it) for it in steps]

    def created(self, kind: str, request: Fields) -> None:
        name = request[f"{kind}Name"]
        self.things[kind, name] = Thing(kind, name, request, self.plans_of(kind, name))

    def deleted(self, kind: str, name: str) -> None:
        self.things.pop((kind, name), None)

    def described(self, kind: str, name: str, found: Fields) -> Fields:
        thing = self.things.get((kind, name))
        if thing is None:
            return found
        with self._lock:
            thing.advance()
            return thing.description(found)

    def listed(self, kind: str, found: Fields) -> Fields:
        """The summaries with each thing's status of this moment."""
        for it in next((value for value in found.values() if isinstance(value, list)), []):
            thing = self.things.get((kind, it.get(f"{kind}Name", "")))
            if thing and not thing.now and thing.steps:
                it[KINDS[kind]] = thing.steps[0][KINDS[kind]]
            elif thing and thing.status:
                it[KINDS[kind]] = thing.status
        return found
