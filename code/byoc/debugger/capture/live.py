"""Rules that run in the job: after each save, and over the system metrics now and then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from byoc.debugger.actions import Actions
from byoc.debugger.capture.event_file import EventFile, whole
from byoc.debugger.engine import RuleSet
from byoc.debugger.events import REDUCTION, saves
from byoc.debugger.findings import to_json
from byoc.debugger.layout import RULES
from byoc.debugger.run import Run
from byoc.debugger.save import Save
from byoc.debugger.system_metrics import read as read_metrics
from byoc.debugger.timeline import read as read_phases

PROFILE_SECONDS = 60.0
PROFILE_SHARE = 0.01
"""Reading the metrics of a long job takes its time: no more than this part of the job's."""
STALL_SECONDS = 30.0


class RulesTextError(ValueError):
    """A ``debug-rules`` that cannot be read; the message is one line."""


def parse_rules(text: str) -> tuple[list[str] | None, Mapping[str, Mapping[str, Any]]]:
    """Names (None: all) and parameters by name.

    ``all``; ``none``; names with commas between them, or with NAME:PARAMETERS as one JSON object:
    ``{"VanishingGradient": {"threshold": 1e-8}, "Overfit": {}}``.
    """
    text = text.strip()
    if text == "all":
        return None, {}
    if text in ("", "none"):
        return [], {}
    if not text.startswith("{"):
        return [name.strip() for name in text.split(",") if name.strip()], {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RulesTextError(f"debug-rules is not JSON: {error}") from error
    if not all(isinstance(parameters, dict) for parameters in found.values()):
        raise RulesTextError("debug-rules: each rule needs an object of its parameters, or {}")
    return list(found), {name: parameters for name, parameters in found.items() if parameters}


def make(text: str, rule_set: Any) -> RuleSet:
    """Raises the rules' own errors, or ``RulesTextError``, for what there is not."""
    names, parameters = parse_rules(text)
    return RuleSet(names, rule_set, parameters)


class LiveRules:
    """``folder`` gets rules.json; ``system`` and ``framework``: the folders that hold these two;
    ``tensors``: what is saved already."""

    def __init__(
        self,
        rules: RuleSet,
        actions: Actions,
        folder: Path,
        system: Path,
        framework: Path,
        collections: Callable[[], Mapping[str, Any]],
        tensors: Path,
    ) -> None:
        self._rules, self._actions, self._path = rules, actions, folder / RULES
        self._system, self._framework = system, framework
        self._collections = collections
        # A job that goes on: rules that look back are to see what its earlier run has saved; what
        # fired then was told then.
        rules.set_collections(collections())
        for save in saves(tensors):
            rules.save(save)
        self._profile_at = time.monotonic() + PROFILE_SECONDS
        self._lock = threading.Lock()
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="debug-stalled").start()

    def take(self, file: EventFile) -> None:
        """What was just saved. Raises ``OSError`` where rules.json cannot be written."""
        with self._lock:
            self._rules.set_collections(self._collections())
            found = self._rules.save(save_of(file))
            if time.monotonic() >= self._profile_at:
                found += self._profile()
        self._actions.take(found)
        if found:
            self._write()

    def _profile(self) -> list[Any]:
        started = time.monotonic()
        run = Run(self._path.parent)
        run.system = read_metrics(self._system)
        run.phases = read_phases(self._framework).phases
        found = self._rules.profile(run)
        now = time.monotonic()
        self._profile_at = now + max(PROFILE_SECONDS, (now - started) / PROFILE_SHARE)
        return found

    def _watch(self) -> None:
        """A job that hangs saves nothing: only a thread can notice."""
        while not self._over.wait(STALL_SECONDS):
            if self._lock.acquire(blocking=False):
                try:
                    found = self._rules.stalled(time.time())
                finally:
                    self._lock.release()
                self._actions.take(found)

    def finish(self) -> None:
        self._over.set()
        with self._lock:
            found = self._profile() + self._rules.end()
        self._actions.take(found, is_over=True)
        self._write()
        self._actions.finish()

    def drop(self) -> None:
        self._over.set()

    def _write(self) -> None:
        whole(self._path, to_json(self._rules.results()).encode())


def save_of(file: EventFile) -> Save:
    """A save as rules take it, without reading it back."""
    save = Save(file.step, file.mode, file.mode_step, time.time())
    for name, value in file.values.items():
        if not name.startswith(REDUCTION):
            save.tensors[name] = value
            continue
        kind, tensor = name[len(REDUCTION) :].split("/", 1)
        key = (kind.removeprefix("abs_"), kind.startswith("abs_"))
        save.reductions.setdefault(tensor, {})[key] = float(value.reshape(-1)[0])
    return save
