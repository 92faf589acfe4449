"""Tunes on this machine: proposes, starts trials as training jobs, watches them, records them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.tuning.interrupts import held_back
from byoc.tuning.owners import BEAT_SECONDS, Owner
from byoc.tuning.results import TuningResult
from byoc.tuning.running import Running
from byoc.tuning.study import DatabaseError, Plan, Study
from byoc.tuning.study_results import read

POLL_SECONDS = 0.2
_LIMIT_SECONDS = 1.0
_SHOW_SECONDS = 2.0
"""The times in a table go on where nothing else does."""
_STOP_SECONDS = 150.0
"""A job that is told to stop is gone then: SIGKILL comes after 120 s."""


class Tuner:
    """One process that works on a tuning; several may work on the same one.

    ``show`` is told how the tuning stands after each change, and now and then besides. ``limit``
    looks at that every second and says why the tuning must end now, or "".
    """

    def __init__(
        self,
        study: Study,
        plan: Plan,
        client: Client,
        owner: Owner,
        show: Callable[[TuningResult], None],
        limit: Callable[[TuningResult], str] | None = None,
    ) -> None:
        self._study, self._client, self._owner = study, client, owner
        self._tell = show
        self._limit = limit
        self._plan = plan
        self._running: list[Running] = []
        self._beat = self._looked = self._shown = time.monotonic()

    def run(self) -> TuningResult:
        """Works until no trial is left to begin and none of this process's runs.

        Ctrl-C ends this process's jobs; their trials go on where another tuner takes them up.
        Raises ``LaunchError`` where no job can be started at all.
        """
        with held_back() as let_through:
            try:
                self._show()
                while self._step():
                    let_through()
                    time.sleep(POLL_SECONDS)
                    let_through()
            except DatabaseError:
                raise  # its jobs go on, to be taken up where they are
            except BaseException:
                self._interrupt()
                raise
            return read(self._study)

    def _step(self) -> bool:
        """Looks at everything once; False where there is nothing left to do."""
        changed = [self._look(trial) for trial in [*self._running]]
        stop = self._study.stop_reason or self._stop_at_limit()
        if stop:
            for trial in self._running:
                trial.stop(stop)
        begun = self._begin_what_fits(may_propose=not stop)
        self._sign()
        if begun or any(changed) or time.monotonic() - self._shown > _SHOW_SECONDS:
            self._show()
        return bool(self._running)

    def _stop_at_limit(self) -> str:
        if self._limit is None or time.monotonic() - self._looked < _LIMIT_SECONDS:
            return ""
        self._looked = time.monotonic()
        reason = self._limit(read(self._study))
        if reason:
            self._study.stop(reason)
        return reason

    def _begin_what_fits(self, *, may_propose: bool) -> bool:
        begun = False
        while len(self._running) < self._plan.definition.max_parallel:
            trial = self._study.adopt(self._owner)
            if trial is None and may_propose:
                trial = self._study.propose(self._plan.definition, self._owner)
            if trial is None:
                break
            running = Running(self._study, self._client, self._plan, trial)
            try:
                running.begin()
            except DatabaseError:
                raise  # it is begun, or begins, once the database is back
            except LaunchError as error:
                # Not the trial's fault: no other one could be started either.
                self._study.end(trial.number, "Failed", None, str(error), void=True)
                raise
            self._running.append(running)
            begun = True
        return begun

    def _look(self, trial: Running) -> bool:
        """Whether there is something new to be shown."""
        epochs = len(trial.curve.points)
        ending = trial.look()
        if ending is None:
            return len(trial.curve.points) > epochs
        self._running.remove(trial)
        artifact = trial.artifact()
        self._study.end(
            trial.number,
            ending.status,
            ending.value,
            ending.cause,
            artifact=artifact,
            metrics=trial.curve.others,
        )
        trial.tidy()
        return True

    def _sign(self) -> None:
        if time.monotonic() - self._beat > BEAT_SECONDS:
            self._beat = time.monotonic()
            for trial in self._running:
                self._study.note(trial.number, owner=self._owner.sign())

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._tell(read(self._study))

    def _interrupt(self) -> None:
        """Ends the jobs of this process, whose trials stay unfinished."""
        for trial in self._running:
            with contextlib.suppress(LaunchError):
                trial.interrupt()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < deadline:
            self._running = [trial for trial in self._running if not trial.has_ended()]
            time.sleep(POLL_SECONDS)
