"""A tuning on this machine, from its folder: begun, gone on with, stopped, read."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

from byoc.launch.clients import make_client
from byoc.launch.errors import LaunchError
from byoc.launch.state import STATE_VARIABLE, state_dir
from byoc.tuning import files, matter, study_results
from byoc.tuning.owners import Owner
from byoc.tuning.results import TuningResult
from byoc.tuning.shares import with_shares
from byoc.tuning.study import DATABASE, DatabaseError, Plan, Study, plain_url
from byoc.tuning.tuner import Tuner

Limit = Callable[[TuningResult], str]

OUTAGE_SECONDS = 120.0
"""How long a database that has stopped answering is waited for."""
_OUTAGE_POLL_SECONDS = 1.0


def find(folder: Path, name: str, url: str | None) -> Study:
    """A tuning that there is; raises ``LaunchError`` where there is none."""
    if url is None and not (folder / DATABASE).is_file():
        raise LaunchError(f"there is no tuning {name}: no {folder / DATABASE}")
    study = Study(folder, name, url)
    if not study.open():
        raise LaunchError(f"there is no tuning {name} in {plain_url(url) if url else folder}")
    return study


def begin(study: Study, plan: Callable[[], Plan], wanted: Plan, say: Callable[[str], None]) -> Plan:
    """Makes the tuning, or takes up the one that has the name; returns its plan.

    ``wanted`` is compared with a tuning that is there; ``plan`` is called where there is none, and
    may write files. Raises ``LaunchError`` where the tuning that is there is another one.
    """
    owner = Owner(study.folder)
    try:
        if study.open():
            old = study.plan
            differing = old.differing(wanted)
            if differing:
                raise LaunchError(
                    f"there is a tuning {study.name} already, with another "
                    f"{', '.join(differing)}: choose another --name, or go on with it by "
                    f"`byoc tune attach {study.name}`"
                )
            say(f"going on with tuning {study.name}: {len(study.trials())} trials there already")
            study.stop("")
            found = dataclasses.replace(old, definition=wanted.definition)
        else:
            found = dataclasses.replace(plan(), state=str(state_dir()))
        study.begin(found, owner)
        for name in found.definition.warm_start:
            parent = find(study.folder.parent / name, name, None)
            taken, left = study.warm_start(found.definition, parent)
            say(
                f"warm start: {taken} trials of {name} taken over"
                + (f", {left} left out: outside of the ranges" if left else "")
            )
    finally:
        owner.close()
    return found


def look(study: Study, say: Callable[[str], None]) -> None:
    """Says which settings cannot matter; looks at the data where only they can tell.

    Raises ``LaunchError`` where the data cannot be read.
    """
    plan = _here(study)
    if matter.needs_lengths(plan.definition) and study.longest is None:
        say("looking at the data: how long are the inputs?")
        client = make_client(plan.where, say)
        study.longest = matter.longest_input(client, plan.definition, plan.job)
    for line in matter.findings(plan.definition, plan.job.channels, study.longest):
        say(line)


def work(
    study: Study,
    show: Callable[[TuningResult], None],
    say: Callable[[str], None],
    limit: Limit | None = None,
    max_parallel: int | None = None,
) -> TuningResult:
    """Works on the tuning until it has ended, beside others or alone; writes the results.

    ``max_parallel``: of this process, where it is not the definition's.
    """
    plan = _here(study, max_parallel)
    client = make_client(plan.where, say)
    while True:
        # With an outage this process starts anew, as another one would: its trials' jobs went on,
        # and each of them is found where it is by what the database has of it.
        owner = Owner(study.folder)
        try:
            result = Tuner(study, plan, client, owner, show, limit).run()
        except KeyboardInterrupt:
            say(f"broken off: `byoc tune attach {study.name}` goes on with it")
            _write(study)
            raise
        except DatabaseError as error:
            say(f"{error}; trying again for {OUTAGE_SECONDS:.0f} s, and what trains goes on")
            try:
                _wait_for(study)
            except KeyboardInterrupt:
                say(f"broken off, its jobs go on: `byoc tune attach {study.name}` takes them up")
                raise
            say("the database is back")
        except BaseException:
            _write(study)
            raise
        else:
            _write(study)
            return result
        finally:
            owner.close()


def _write(study: Study) -> None:
    files.write(study_results.read(study), study.folder)


def _wait_for(study: Study) -> None:
    """Until the database answers again.

    Raises ``DatabaseError`` where it has not done so within ``OUTAGE_SECONDS``.
    """
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            study.open()
        except DatabaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_OUTAGE_POLL_SECONDS)
        else:
            return


def _here(study: Study, max_parallel: int | None = None) -> Plan:
    """The plan as this machine runs it, with the tuning's own record of jobs."""
    plan = study.plan
    if plan.state and Path(plan.state).is_dir():
        os.environ[STATE_VARIABLE] = plan.state
    if max_parallel is not None:
        definition = dataclasses.replace(plan.definition, max_parallel=max_parallel)
        plan = dataclasses.replace(plan, definition=definition)
    return with_shares(plan, study.folder)
