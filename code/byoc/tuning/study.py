"""A tuning's state: a study of Optuna's in SQLite, or on a database server that hosts share.

Every step is written down before it is done, so that a tuner that is killed at any moment can be
followed by another, which finds each trial where it is.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from byoc.launch.errors import LaunchError
from byoc.launch.requests import TrainingJob
from byoc.tuning import search
from byoc.tuning.definition import Definition
from byoc.tuning.definition_file import parse, to_content
from byoc.tuning.owners import Owner

DATABASE = "study.db"

_BUSY_SECONDS = 60
"""How long SQLite waits for another process's transaction."""
_UNSIGNED_SECONDS = 60
"""On a database server: how long a trial may have no owner yet."""

_CREATIONS = 5
_CREATION_SECONDS = 1.0
"""How often, and how far apart, the tables of a new database are asked for."""
_OUTAGES = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)

_DIRECTIONS = {
    "Minimize": optuna.study.StudyDirection.MINIMIZE,
    "Maximize": optuna.study.StudyDirection.MAXIMIZE,
}
_MAY_CHANGE = frozenset({"max_jobs", "max_parallel", "max_runtime"})
"""What a tuning that goes on may be given anew."""


class DatabaseError(LaunchError):
    """The database cannot be reached, or cannot write, at present."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a tuning's trials are: ``job`` is the training job that they all share, ``where`` the
    place that runs them, ``source`` what the user gave for data and model, ``state`` the folder
    that remembers the jobs."""

    definition: Definition
    job: TrainingJob
    where: str
    source: Mapping[str, str] = dataclasses.field(default_factory=dict)
    state: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "definition": to_content(self.definition),
            "job": dataclasses.asdict(self.job),
            "where": self.where,
            "source": dict(self.source),
            "state": self.state,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Plan:
        return cls(
            parse(found["definition"])[0],
            TrainingJob(**found["job"]),
            found["where"],
            found["source"],
            found["state"],
        )

    def differing(self, other: Plan) -> list[str]:
        """What makes ``other`` another tuning, by the names that a user knows."""
        pairs = {
            field.name: (
                getattr(self.definition, field.name),
                getattr(other.definition, field.name),
            )
            for field in dataclasses.fields(Definition)
            if field.name not in _MAY_CHANGE
        }
        pairs["image"] = (self.job.image, other.job.image)
        pairs["environment"] = (dict(self.job.environment), dict(other.job.environment))
        pairs["where"] = (self.where, other.where)
        for name in sorted({*self.source, *other.source}):
            pairs[name] = (self.source.get(name), other.source.get(name))
        return [name.replace("_", "-") for name, (old, new) in pairs.items() if old != new]


class Study:
    """The trials of the tuning ``name``; ``url`` as SQLAlchemy has it, default: in ``folder``."""

    def __init__(self, folder: Path, name: str, url: str | None = None) -> None:
        _quiet()
        self.folder, self.name = folder, name
        self.is_file = url is None
        folder.mkdir(parents=True, exist_ok=True)
        self._storage = _storage(url or f"sqlite:///{(folder / DATABASE).absolute()}")
        self._study: optuna.study.Study | None = None

    # -- the tuning

    def begin(self, plan: Plan, owner: Owner) -> None:
        """Creates the study, or goes on with it by this plan."""
        with owner.alone():
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=self.name,
                direction=_DIRECTIONS[plan.definition.direction],
                load_if_exists=True,
            )
            self.change(plan)

    def open(self) -> bool:
        """Loads the study; False where there is none, or it was never begun."""
        try:
            self._study = optuna.load_study(storage=self._storage, study_name=self.name)
        except KeyError:
            return False
        return "plan" in self._study.user_attrs

    def _enqueue_point(self, definition: Definition) -> None:
        """Has the grid's first point that no trial has tried, or will, proposed next."""
        there = [self._params(it) for it in self._all() if _counts(it)]
        for point in search.grid(definition):
            params = search.params(definition, point) or {}
            if params not in there:
                self._optuna.enqueue_trial(params)
                return

    @staticmethod
    def _params(trial: FrozenTrial) -> dict[str, Any]:
        return trial.system_attrs.get("fixed_params") or trial.params

    @property
    def _optuna(self) -> optuna.study.Study:
        if self._study is None:
            raise LaunchError(f"there is no tuning {self.name} in {self.folder}")
        return self._study

    @property
    def plan(self) -> Plan:
        return Plan.from_json(self._optuna.user_attrs["plan"])

    def change(self, plan: Plan) -> None:
        """From here on the tuning goes by this plan."""
        self._optuna.set_user_attr("plan", plan.to_json())

    @property
    def longest(self) -> int | None:
        """Tokens of the longest input, where it has been asked for."""
        found: int | None = self._optuna.user_attrs.get("longest")
        return found

    @longest.setter
    def longest(self, tokens: int) -> None:
        self._optuna.set_user_attr("longest", tokens)

    @property
    def stop_reason(self) -> str:
        """Why no more trials begin; empty where they do."""
        return str(self._optuna.user_attrs.get("stop", ""))

    def stop(self, reason: str) -> None:
        """From here on no trial begins, and all processes end their own; empty: they do again."""
        self._optuna.set_user_attr("stop", reason)

    # -- trials

    def _all(self) -> list[FrozenTrial]:
        return self._optuna.get_trials(deepcopy=False)

    def trials(self) -> list[FrozenTrial]:
        """Those of this tuning that have begun; not what came from a warm start."""
        return [it for it in self._all() if _counts(it) and it.state != TrialState.WAITING]

    def trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        storage = self._storage
        study = storage.get_study_id_from_name(self.name)
        return storage.get_trial_id_from_study_id_trial_number(study, number)

    def propose(self, definition: Definition, owner: Owner) -> FrozenTrial | None:
        """A new trial of ``owner``'s; None where there are as many as there may be."""
        while True:
            with owner.alone():
                waits = any(it.state == TrialState.WAITING for it in self._all())
                if not waits and len(self.trials()) >= definition.jobs:
                    return None
                if not waits and definition.strategy == "Grid":
                    self._enqueue_point(definition)
                self._optuna.sampler = search.sampler(definition, len(self._all()))
                asked = self._optuna.ask(search.distributions(definition))
                self.note(asked.number, owner=owner.sign())
            before = [it for it in self.trials() if it.number < asked.number]
            if len(before) >= definition.jobs:  # another host was faster
                self._discard(asked.number)
            elif definition.strategy == "Grid" and asked.params in [it.params for it in before]:
                self._discard(asked.number)  # another host has that point
            else:
                return self.trial(asked.number)

    def adopt(self, owner: Owner) -> FrozenTrial | None:
        """A running trial whose process is dead, now ``owner``'s; None where there is none."""
        with owner.alone():
            for trial in self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                sign = trial.user_attrs.get("owner", {})
                if owner.is_alive(sign):
                    continue
                if "attempts" not in trial.user_attrs:
                    if self.is_file or _age(trial) > _UNSIGNED_SECONDS:
                        self._discard(trial.number)
                elif not owner.is_here(sign):
                    self._give_up(trial)
                else:
                    self.note(trial.number, owner=owner.sign())
                    return self.trial(trial.number)
        return None

    def _discard(self, number: int) -> None:
        """A trial that never had a job is none."""
        self.note(number, void=True)
        self._optuna.tell(number, state=TrialState.FAIL)

    def _give_up(self, trial: FrozenTrial) -> None:
        """Another host's trial, of which nothing is known any more: tried again from the start."""
        host = trial.user_attrs["owner"]["host"]
        cause = f"host {host}, which ran it, has left no sign of life: tried again"
        try:
            self.end(trial.number, "Failed", None, cause, void=True)
        except UpdateFinishedTrialError:
            return  # a third one has seen it too
        self._optuna.enqueue_trial(dict(trial.params), user_attrs={"again": trial.number})

    def note(self, number: int, **attributes: Any) -> None:
        """Writes down what is known of a trial."""
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._id(number), name, value)

    def report(self, number: int, epoch: int, value: float) -> None:
        """The objective after an epoch, counted from 1."""
        self._storage.set_trial_intermediate_value(self._id(number), epoch, value)

    def is_hopeless(self, definition: Definition, number: int) -> bool:
        """Whether the strategy's pruning would end the trial now."""
        return search.pruner(definition).prune(self._optuna, self.trial(number))

    def end(
        self, number: int, status: str, value: float | None, cause: str = "", **attributes: Any
    ) -> None:
        """Records how a trial ended. ``status``: Completed (with ``value``), Pruned, Stopped or
        Failed."""
        self.note(number, status=status, cause=cause, **attributes)
        if status == "Completed":
            self._optuna.tell(number, value)
        else:
            state = TrialState.PRUNED if status == "Pruned" else TrialState.FAIL
            self._optuna.tell(number, state=state)

    # -- warm start

    def warm_start(self, definition: Definition, parent: Study) -> tuple[int, int]:
        """Takes over what ``parent``'s completed trials found out, where their values lie in this
        definition's ranges. Returns how many were taken over, and how many were not.

        Raises ``LaunchError`` where its objective is another.
        """
        old = parent.plan.definition
        if (old.objective, old.direction) != (definition.objective, definition.direction):
            raise LaunchError(
                f"warm start: tuning {parent.name} has the objective {old.direction} "
                f"{old.objective}, and this one {definition.direction} {definition.objective}"
            )
        there = {it.user_attrs.get("parent") for it in self._all()}
        taken = left = 0
        for trial in parent.trials():
            if trial.state != TrialState.COMPLETE or trial.value is None:
                continue
            fixed = {**parent.plan.job.hyperparameters, **old.fixed}
            given = {**fixed, **search.values(old, trial.params)}
            params = search.params(definition, given)
            if params is None:
                left += 1
                continue
            taken += 1
            name = f"{parent.name} {trial.number}"
            if name not in there:
                self._optuna.add_trial(
                    optuna.trial.create_trial(
                        params=params,
                        distributions=search.distributions(definition),
                        value=trial.value,
                        user_attrs={"parent": name},
                    )
                )
        return taken, left


def _counts(trial: FrozenTrial) -> bool:
    return "parent" not in trial.user_attrs and not trial.user_attrs.get("void")


def _age(trial: FrozenTrial) -> float:
    began = trial.datetime_start or datetime.datetime.now()
    return (datetime.datetime.now() - began).total_seconds()


def _storage(url: str) -> optuna.storages.RDBStorage:
    """Raises ``LaunchError`` where the database cannot be used."""
    if url.startswith("sqlite"):
        options: dict[str, Any] = {"connect_args": {"timeout": _BUSY_SECONDS}}
    else:
        options = {"pool_pre_ping": True}  # the server may have cut a connection since
    try:
        storage = _connect(url, options)
    except Exception as error:  # SQLAlchemy's, and whatever its drivers raise
        cause = _cause(error)
        why = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(cause, ModuleNotFoundError):
            why = f"there is no module {cause.name}: install that driver of SQLAlchemy's with pip"
        raise LaunchError(f"cannot keep the tuning in {plain_url(url)}: {why}") from error
    sqlalchemy.event.listen(storage.engine, "handle_error", _out_of_reach)
    return storage


def _connect(url: str, options: dict[str, Any]) -> optuna.storages.RDBStorage:
    """Makes Optuna's tables where there are none. Of hosts that do so at the same moment all but
    one are told that a table, or a row of it, is there already."""
    for _ in range(_CREATIONS - 1):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            time.sleep(_CREATION_SECONDS)
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _out_of_reach(context: sqlalchemy.engine.ExceptionContext) -> None:
    """Instead of Optuna's own error, which has no cause in it, where it is not the statement's
    fault; the others Optuna knows how to handle."""
    failed = isinstance(context.sqlalchemy_exception, _OUTAGES)
    if failed and not context.is_pre_ping:  # after which SQLAlchemy connects anew
        why = next(iter(str(context.original_exception).splitlines()), "no reason given")
        raise DatabaseError(
            f"the tuning's database cannot be used: {why.strip()}; nothing that stands in it is "
            "lost: `byoc tune attach` goes on once it is back"
        )


def _cause(error: BaseException) -> BaseException:
    """The first of the errors that led to this one."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def plain_url(url: str) -> str:
    """Without user and password."""
    scheme, colon, rest = url.partition("://")
    return scheme + colon + rest.rpartition("@")[2]


def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
