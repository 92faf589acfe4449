"""Debugging of a training job, where it is asked for; no fault in it ends training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning

from byoc.training.config import as_hyperparameters
from byoc.training.data import TextData
from byoc.training.debugging_settings import steps
from byoc.training.model import Classifier
from byoc.training.place import Place
from byoc.training.prepare import Prepared
from byoc.training.progress import Progress


@contextmanager
def attached(
    prepared: Prepared, classifier: Classifier, data: TextData, progress: Progress, place: Place
) -> Iterator[list[lightning.Callback]]:
    """The callbacks that look on while the block trains: none where nobody asked for debugging."""
    callback = _begin(prepared, classifier, data, progress, place)
    try:
        yield [callback] if callback is not None else []
    finally:
        if callback is not None:
            callback.finish()


def _begin(
    prepared: Prepared, classifier: Classifier, data: TextData, progress: Progress, place: Place
) -> Any:
    from byoc.debugger.capture import settings

    leads_host = place.rank % place.local_world == 0
    if not leads_host or not settings.is_asked_for(prepared.config.debug):
        return None
    try:
        return _callback(prepared, classifier, data, progress, place)
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        print(f"debugging does not start, training goes on: {said[:500]}", flush=True)
        return None


def _callback(
    prepared: Prepared, classifier: Classifier, data: TextData, progress: Progress, place: Place
) -> Any:
    from byoc.debugger import library
    from byoc.debugger.capture.settings import settings

    config = prepared.config
    found = settings(
        config.debug_save_interval,
        config.debug_eval_save_interval,
        config.debug_collections,
        steps(config.debug_profile_steps),
    )
    library.load()  # before all that imports parts of it
    from byoc.debugger.capture.callback import Debugging
    from byoc.debugger.capture.facts import Facts
    from byoc.debugger.capture.phases import PhaseWriter
    from byoc.debugger.capture.profiling import OperatorProfile
    from byoc.debugger.capture.sampler import Sampler, node_name
    from byoc.debugger.layout import debugger_dir

    node, first = node_name(), place.is_first
    debugger_dir().mkdir(parents=True, exist_ok=True)
    tensors = _tensors(found, classifier, data, progress, place) if first else None
    profile = found.profile_steps if first else None
    callback = Debugging(
        micro_batches=config.gradient_accumulation_steps,
        step=progress.step,
        marks_end=found.ends_itself,
        tensors=tensors,
        phases=PhaseWriter(found.framework, node, place.rank) if first else None,
        profile=OperatorProfile(found.framework, node, *profile) if profile else None,
        facts=Facts(debugger_dir(), node, _facts(prepared, classifier, data, progress, place))
        if first
        else None,
        live=_live(found, tensors, progress) if first else None,
        # Last: a process is to be started only once nothing else can fail.
        sampler=Sampler(found.system, node, found.interval_seconds),
    )
    progress.on_saved = callback.saved_checkpoint
    return callback


def _tensors(
    found: Any, classifier: Classifier, data: TextData, progress: Progress, place: Place
) -> Any:
    from byoc.debugger.capture.tensors import TensorCapture

    share = -(-len(data.tokens["validation"]) // place.world)
    batches = -(-share // progress.config.batch_size)
    return TensorCapture(
        found.tensors,
        found.hook,
        classifier.model,
        step=progress.step,
        eval_step=progress.epoch * batches,
        hooks_modules=not progress.config.compile,
    )


def _live(found: Any, tensors: Any, progress: Progress) -> Any:
    """None where no rule is to run in the job."""
    from byoc.debugger import actions
    from byoc.debugger.capture import live
    from byoc.debugger.layout import debugger_dir

    config = progress.config
    rules = live.make(config.debug_rules, config.debug_rule_set)
    if not rules.names:
        return None
    return live.LiveRules(
        rules,
        actions.Actions(actions.parse(config.debug_actions), progress.end_early),
        debugger_dir(),
        found.system,
        found.framework,
        tensors.hook.get_collections,
        found.tensors,
    )


def _facts(
    prepared: Prepared, classifier: Classifier, data: TextData, progress: Progress, place: Place
) -> dict[str, Any]:
    config = prepared.config
    weights = list(classifier.model.parameters())
    parts = config.gradient_accumulation_steps * place.world
    return {
        "hyperparameters": as_hyperparameters(config),
        "model": prepared.source,
        "parameters": sum(weight.numel() for weight in weights),
        "trained_parameters": sum(w.numel() for w in weights if w.requires_grad),
        "precision": progress.precision,
        "batch_size": config.batch_size,
        "micro_batch_size": -(-config.batch_size // parts),
        "processes": place.world,
        "hosts": place.hosts,
        "rows": {split: len(tokens) for split, tokens in data.tokens.items()},
        "labels": dict(zip(prepared.names, prepared.counts["train"], strict=True)),
        "epochs": config.epochs,
        "steps_per_epoch": progress.steps_per_epoch,
        "first_step": progress.step,
    }
