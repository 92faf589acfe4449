"""Trains a classifier: a prepared job in, metrics and a model artifact out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
import transformers
from pytorch_lightning.utilities.exceptions import SIGTERMException

from byoc import contract
from byoc.training import adapt, artifact, debugging, encoder, graphs, results, resume
from byoc.training.checkpoint import Checkpoints, is_wanted
from byoc.training.config import SCRATCH
from byoc.training.data import TextData
from byoc.training.faults import StoppedError
from byoc.training.model import Batch, Classifier, evaluate
from byoc.training.outcome import Outcome, Scored
from byoc.training.place import Place
from byoc.training.precision import autocast, choose
from byoc.training.prepare import Prepared
from byoc.training.progress import Progress
from byoc.training.stopping import StopRequest

Metrics = dict[str, float]


def train(prepared: Prepared, stop: StopRequest, place: Place) -> Metrics:
    """Fits, restores the best epoch's weights, scores them and writes the model artifact.

    Goes on from the newest checkpoint of the same job. Every process of the job calls it; the
    first one writes. Raises ``StoppedError`` after a stop that was asked for: the state is in a
    checkpoint then, and the best model so far in the artifact. Raises ``TrainingFault`` for what
    the user can mend.
    """
    _quiet()
    config = prepared.config
    _set_threads(prepared.source, place)
    checkpoints = Checkpoints(contract.checkpoints_dir(), prepared.identity, config.checkpoint_keep)
    state = place.first_says(checkpoints.newest() if place.is_first else None)
    tokenizer = prepared.tokenizer()
    model = encoder.model(prepared.source, config, tokenizer, prepared.names)
    precision = (
        state.facts["precision"]
        if state
        else place.first_says(choose(config, model) if place.is_first else "")
    )
    tokens = prepared.tokens()
    data = TextData(tokens, tokenizer.pad_token_id, config, place.rank, place.world)
    classifier = Classifier(
        model,
        config,
        total_steps=config.epochs * data.steps_per_epoch(),
        class_counts=prepared.counts["train"],
        world=place.world,
        gather=place.gather,
        precision=precision,
    )
    progress = Progress(
        config,
        place,
        stop,
        checkpoints,
        data.steps_per_epoch(),
        saves_regularly=is_wanted(),
    )
    progress.precision = precision
    if state is not None:
        progress.restore(state, classifier)
    if place.is_first:
        print(_summary(prepared, classifier, precision, place), flush=True)
    with debugging.attached(prepared, classifier, data, progress, place) as onlookers:
        if graphs.wanted(config, place.world, is_watched=bool(onlookers)):
            classifier.use_graphs()
        stopped = not _fit(classifier, data, progress, stop, place, onlookers)
        if not place.is_first:
            place.wait()
            if stopped:
                raise StoppedError
            return {}
        if not stopped or progress.step:
            _write(prepared, tokenizer, classifier, progress, stop)
        place.wait()
        if stopped or stop.requested:
            raise StoppedError
        return progress.best


def _fit(
    classifier: Classifier,
    data: TextData,
    progress: Progress,
    stop: StopRequest,
    place: Place,
    onlookers: list[lightning.Callback],
) -> bool:
    """False where a stop cut training short."""
    trainer = _trainer(progress, place, onlookers)
    stop.defer()
    try:
        if place.any(stop.requested)[0]:
            raise StoppedError
        if progress.awaits_validation:
            trainer.validate(classifier, data, verbose=False)
            progress.finish_epoch(classifier)
        if progress.has_ended:
            return True
        data.start = (progress.epoch, progress.step_in_epoch)
        for count in ("ready", "started", "processed", "completed"):
            setattr(trainer.fit_loop.epoch_progress.current, count, progress.epoch)
        trainer.should_stop = False
        classifier.train()
        trainer.fit(classifier, data)
    except (StoppedError, SIGTERMException):  # Lightning's own, at the end of an epoch
        if place.is_first:
            print("stopping as asked", flush=True)
        return False
    return True


def _trainer(
    progress: Progress, place: Place, onlookers: Sequence[lightning.Callback] = ()
) -> lightning.Trainer:
    config = progress.config
    return lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="auto",
        devices=place.local_world,
        num_nodes=place.hosts,
        strategy="ddp" if place.world > 1 else "auto",
        precision=progress.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.gradient_clip or None,
        accumulate_grad_batches=config.gradient_accumulation_steps,
        callbacks=[*onlookers, progress],
        # The order of an epoch hangs on its number alone, so each has a loader of its own.
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        # Lightning's own files would go to the working directory; ours are in artifact.
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        # Progress is plain lines: local mode's terminals and CloudWatch keep each redraw of a
        # bar, and a bar breaks the metric lines in two.
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )


def _write(
    prepared: Prepared,
    tokenizer: Any,
    classifier: Classifier,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """The artifact and the results; a job that is being stopped leaves out the scoring."""
    if progress.best_weights is not None:
        resume.put_back(classifier.model, progress.best_weights)
    metrics = progress.best
    try:
        scored = _score(prepared, tokenizer, classifier, metrics, stop)
    except StoppedError:
        scored = {}
    outcome = Outcome(
        prepared.config,
        prepared.source,
        progress.precision,
        prepared.splits(),
        metrics,
        progress.history,
        scored,
        progress.ended_by,
    )
    merged = adapt.plain(classifier.model, prepared.config)
    artifact.write(merged, tokenizer, outcome, contract.model_dir())
    results.write(outcome, contract.output_data_dir())


def _score(
    prepared: Prepared,
    tokenizer: Any,
    classifier: Classifier,
    metrics: Metrics,
    stop: StopRequest,
) -> dict[str, Scored]:
    """Validation and test under the final weights; adds test's metrics.

    Raises ``StoppedError`` where a stop is asked for.
    """
    data = TextData(prepared.tokens(), tokenizer.pad_token_id, prepared.config)
    found: dict[str, Scored] = {}
    for split in [name for name in ("validation", "test") if name in data.tokens]:
        logits, labels = _logits(classifier, data, split, stop), data.tokens[split].labels
        if split == "test":
            metrics.update(evaluate(logits, torch.from_numpy(labels), "test"))
        found[split] = Scored(logits.softmax(dim=-1).numpy(), labels)
    return found


@torch.inference_mode()
def _logits(classifier: Classifier, data: TextData, split: str, stop: StopRequest) -> torch.Tensor:
    """[rows, classes], in the order of the split's rows."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classifier.to(device).eval()
    # In the arithmetic of the validation, so that the rows agree with the metrics.
    batches = []
    with autocast(classifier.precision):
        for batch in data.ordered(split):
            stop.check()
            batches.append(classifier(_on(device, batch)).float().cpu())
    by_length = torch.cat(batches)
    logits = torch.empty_like(by_length)
    logits[torch.as_tensor(data.order(split))] = by_length
    return logits


def _on(device: str, batch: Batch) -> Batch:
    return {name: v.to(device) if torch.is_tensor(v) else v for name, v in batch.items()}


def _set_threads(source: str, place: Place) -> None:
    if source == SCRATCH:
        # So small a model gains nothing from a second thread and, on a busy machine, waits for it.
        torch.set_num_threads(1)
    elif place.local_world > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.local_world))


def _summary(prepared: Prepared, classifier: Classifier, precision: str, place: Place) -> str:
    rows = ", ".join(f"{sum(counts)} {name}" for name, counts in prepared.counts.items())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    many = f", {place.world} processes on {place.hosts} hosts" if place.world > 1 else ""
    size = sum(w.numel() for w in classifier.model.parameters()) / 1e6
    return (
        f"training {prepared.source} ({size:.1f} M weights) on {device} in {precision}{many}; "
        f"rows: {rows}; labels: {', '.join(prepared.names)}"
    )


def _quiet() -> None:
    """Libraries speak up from warnings on; what they say of our own choices is left out."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (".*does not have many workers.*", ".*LeafSpec.*", ".*lr_scheduler.step.*"):
        warnings.filterwarnings("ignore", message=message)
