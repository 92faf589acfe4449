"""A trial that is running: its training job, its log, and how it ends."""

from __future__ import annotations

import contextlib
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from byoc.launch.clients import Client
from byoc.launch.errors import LaunchError
from byoc.launch.jobs import Follower
from byoc.launch.supervised import ENDED, JOBS, SUPERVISOR_DIED
from byoc.launch.uris import to_uri
from byoc.tuning import search
from byoc.tuning.objective import Curve
from byoc.tuning.request import trial_job
from byoc.tuning.study import Plan, Study

MOST_ATTEMPTS = 3
"""How often a trial is started whose supervisor is killed each time; the machine's fault, not its
own, as long as it is not the rule."""

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Ending:
    """As ``Study.end`` takes it."""

    status: str
    value: float | None = None
    cause: str = ""


class Running:
    """One trial of ours. Its state is in the study; what is here can be had from there again."""

    def __init__(self, study: Study, client: Client, plan: Plan, trial: FrozenTrial) -> None:
        self._study, self._client, self._plan = study, client, plan
        self.number = trial.number
        self.values = search.values(plan.definition, trial.params)
        self._attempts: list[str] = list(trial.user_attrs.get("attempts", ()))
        self._pruned_at: int | None = trial.user_attrs.get("pruned_at")
        self._interrupted = bool(trial.user_attrs.get("interrupted"))
        self._stopped_because = str(trial.user_attrs.get("stopped_because", ""))
        self._told_to_stop = False
        self._reported = set(trial.intermediate_values)
        self._before = float(trial.user_attrs.get("before", 0.0))
        self._times = {name: trial.user_attrs.get(name) for name in ("started", "ended")}
        self.curve = Curve(plan.definition)
        self._log: Follower | None = None
        for name in self._attempts[:-1]:
            self._follow(name)
            self._read(last=True)

    @property
    def job(self) -> str:
        return self._attempts[-1]

    @property
    def _checkpoints(self) -> Path:
        return self._study.folder / _CHECKPOINTS / f"{self.number:04d}"

    # -- beginning

    def begin(self) -> None:
        """Starts the training job, or finds it where it is, or goes on from its checkpoints.

        Raises ``LaunchError`` where no job can be started here.
        """
        if not self._attempts:
            self._start()
            return
        self._follow(self.job)
        if not self._is_there():
            self._create()  # the tuner died between writing the name down and starting the job

    def _is_there(self) -> bool:
        try:
            self._client.describe_training_job(TrainingJobName=self.job)
        except LaunchError:
            return False
        return True

    def _start(self) -> None:
        """Another attempt."""
        again = f"-r{len(self._attempts)}" if self._attempts else ""
        self._attempts.append(f"{self._study.name}-{self.number:04d}{again}")
        self._told_to_stop = self._interrupted = False
        if self._times["started"] and self._times["ended"]:
            self._before = self._times["ended"] - self._times["started"]
        self._study.note(
            self.number, attempts=self._attempts, interrupted=False, before=self._before
        )
        self._create()
        self._follow(self.job)

    def _create(self) -> None:
        self._client.create_training_job(**self.request())

    def request(self) -> dict[str, Any]:
        """CreateTrainingJob of this attempt."""
        plan = self._plan
        request = trial_job(plan.definition, plan.job, self.values)
        request["TrainingJobName"] = self.job
        if plan.where == "process":  # local mode has no checkpoints
            request["CheckpointConfig"] = {"S3Uri": to_uri(self._checkpoints)}
        return request

    # -- going on

    def look(self) -> Ending | None:
        """What is new of the trial; how it ended, once it has."""
        found = self._client.describe_training_job(TrainingJobName=self.job)
        ended = found["TrainingJobStatus"] in ENDED
        if self._read(last=ended) and not ended:
            self._prune_if_hopeless()
        self._note_times(found)
        if not ended:
            if self._pruned_at is not None or self._stopped_because:
                self._tell_to_stop()
            return None
        ending = self._ending(found)
        if ending is None:
            self._start()
        return ending

    def _follow(self, name: str) -> None:
        log_file = getattr(self._client, "log_file", None)
        self._log = Follower(log_file(JOBS, name)) if log_file else None

    def _read(self, *, last: bool) -> bool:
        """Whether the objective has been printed again."""
        if self._log is None:
            return False
        self.curve.read(self._log.lines(last=last))
        new = {epoch: v for epoch, v in self.curve.points.items() if epoch not in self._reported}
        for epoch, value in new.items():
            self._study.report(self.number, epoch, value)
        self._reported |= new.keys()
        return bool(new)

    def _note_times(self, found: dict[str, Any]) -> None:
        """Between start and end lies what all attempts have trained, and no pause between them."""
        began, ended = found.get("TrainingStartTime"), found.get("TrainingEndTime")
        times = {"started": began - self._before if began else None, "ended": ended}
        self._study.note(
            self.number, **{name: time for name, time in times.items() if time != self._times[name]}
        )
        self._times = times

    def _prune_if_hopeless(self) -> None:
        if self._pruned_at is None and self._study.is_hopeless(self._plan.definition, self.number):
            self._pruned_at = max(self._reported)
            self._study.note(self.number, pruned_at=self._pruned_at)

    # -- ending

    def stop(self, because: str) -> None:
        """Ends the trial for good; it is recorded as stopped for this reason."""
        if not self._stopped_because:
            self._stopped_because = because
            self._study.note(self.number, stopped_because=because)
            self._tell_to_stop()

    def interrupt(self) -> None:
        """Ends the job, not the trial: another tuner goes on from its checkpoint."""
        self._interrupted = True
        self._study.note(self.number, interrupted=True)
        self._tell_to_stop()

    def has_ended(self) -> bool:
        """For an interrupted one: whether its job is gone."""
        found = self._client.describe_training_job(TrainingJobName=self.job)
        return found["TrainingJobStatus"] in ENDED

    def _tell_to_stop(self) -> None:
        if not self._told_to_stop:
            self._told_to_stop = True
            with contextlib.suppress(LaunchError):  # it has ended by itself
                self._client.stop_training_job(TrainingJobName=self.job)

    def _ending(self, found: dict[str, Any]) -> Ending | None:
        """None where another attempt is due."""
        status, reason = found["TrainingJobStatus"], found.get("FailureReason", "")
        if status == "Completed":
            return self._completed()
        if self._stopped_because:
            return Ending("Stopped", None, self._stopped_because)
        if status == "Stopped":
            if self._pruned_at is not None:
                cause = f"pruned after epoch {self._pruned_at}: worse than the others were by then"
                return Ending("Pruned", None, cause)
            if self._interrupted:
                return None
            return Ending("Stopped", None, self._why_stopped(found))
        if reason.startswith(SUPERVISOR_DIED):
            if len(self._attempts) < MOST_ATTEMPTS:
                return None
            reason = f"{reason} ({MOST_ATTEMPTS} times)"
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        return Ending("Failed", None, lines[0] if lines else "no reason given")

    def _completed(self) -> Ending:
        value = self.curve.last
        if value is None:
            expression = self._plan.definition.expression
            return Ending(
                "Failed",
                None,
                f"it completed, but no line of its log is matched by the objective's expression "
                f"{expression!r}",
            )
        if not math.isfinite(value):
            return Ending("Failed", None, f"its objective is {value}")
        return Ending("Completed", value)

    def _why_stopped(self, found: dict[str, Any]) -> str:
        if found.get("SecondaryStatus") == "MaxRuntimeExceeded":
            return f"it ran longer than max-runtime, {self._plan.definition.max_runtime} s"
        return "it was stopped from outside (SIGTERM, exit code 143)"

    def artifact(self) -> str:
        """The URI of the model, where the job left one."""
        found = self._client.describe_training_job(TrainingJobName=self.job)
        return str(found.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""))

    def tidy(self) -> None:
        """What only a trial that goes on has use for."""
        shutil.rmtree(self._checkpoints, ignore_errors=True)
