"""Trains a classifier: a config in, metrics and a model artifact out."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as lightning
import torch
import transformers
from pytorch_lightning.utilities.exceptions import SIGTERMException

from byoc import contract
from byoc.training import artifact, encoder
from byoc.training.config import SCRATCH, TrainingConfig
from byoc.training.data import TextData, encode
from byoc.training.faults import StoppedError
from byoc.training.model import Classifier, evaluate
from byoc.training.progress import EpochReport, StopRequest
from byoc.training.sources import Splits

Metrics = dict[str, float]


def train(config: TrainingConfig, splits: Splits, stop: StopRequest) -> Metrics:
    """Fits, restores the best epoch's weights, scores them and writes the model artifact.

    Raises ``StoppedError`` after a stop that was asked for; the best model so far is then in the
    artifact too. Raises ``TrainingFault`` for what the user can mend.
    """
    _quiet()
    found = encoder.source(config)
    if found == SCRATCH:
        # So small a model gains nothing from a second thread and, on a busy machine, waits for it.
        torch.set_num_threads(1)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    tokenizer, model = encoder.load(found, config, splits.tables["train"].texts, splits.names)
    length = encoder.longest(tokenizer, model, config.max_length)
    data = TextData(
        {
            name: encode(table, splits.labels, tokenizer, length)
            for name, table in splits.tables.items()
        },
        tokenizer.pad_token_id,
        config,
    )
    print(_summary(found, model, splits), flush=True)
    classifier, report = Classifier(model, config), EpochReport(config, stop)
    stopped = _fit(config, classifier, data, report, stop)
    if stopped and not report.steps:
        raise StoppedError
    if report.best_weights is not None:
        model.load_state_dict(report.best_weights)
    metrics = dict(report.best)
    predictions = None if stopped else _score(classifier, data, metrics)
    artifact.write(model, tokenizer, config, metrics, contract.model_dir())
    artifact.write_results(metrics, splits, predictions, contract.output_data_dir())
    if stopped or stop.requested:
        raise StoppedError
    return metrics


def _fit(
    config: TrainingConfig,
    classifier: Classifier,
    data: TextData,
    report: EpochReport,
    stop: StopRequest,
) -> bool:
    """True where a stop cut training short."""
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="auto",
        devices=1,
        precision=_precision(config),  # type: ignore[arg-type]
        gradient_clip_val=config.gradient_clip or None,
        callbacks=[report],
        # Lightning's own files would go to the working directory; ours are in artifact.
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        # Progress is plain lines (EpochReport): local mode's terminals and CloudWatch keep each
        # redraw of a bar, and a bar breaks the metric lines in two.
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    stop.at_once = False
    try:
        stop.check()
        trainer.fit(classifier, datamodule=data)
    except (StoppedError, SIGTERMException):  # Lightning's own, at the end of an epoch
        print("stopping as asked", flush=True)
        return True
    return False


def _score(
    classifier: Classifier, data: TextData, metrics: Metrics
) -> dict[str, list[list[float]]]:
    """Probabilities of each class for each row of validation and test; adds test's metrics."""
    probabilities: dict[str, list[list[float]]] = {}
    for split in ("validation", "test"):
        if split not in data.splits:
            continue
        logits = _logits(classifier, data, split)
        if split == "test":
            labels = torch.tensor([row["label"] for row in data.splits[split]])
            metrics.update(evaluate(logits, labels, "test"))
        probabilities[split] = logits.softmax(dim=-1).tolist()
    return probabilities


@torch.inference_mode()
def _logits(classifier: Classifier, data: TextData, split: str) -> torch.Tensor:
    """[rows, classes], in the order of the split's rows."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classifier.to(device).eval()
    batches = [
        classifier({name: value.to(device) for name, value in batch.items()}).float().cpu()
        for batch in data.ordered(split)
    ]
    by_length = torch.cat(batches)
    logits = torch.empty_like(by_length)
    logits[torch.tensor(data.order(split))] = by_length
    return logits


def _precision(config: TrainingConfig) -> str:
    """``auto``: 16-bit on a GPU, bf16 where the hardware has it (a T4 only emulates it)."""
    if config.precision != "auto":
        return config.precision
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"


def _summary(found: str, model: Any, splits: Splits) -> str:
    rows = ", ".join(f"{len(table)} {name}" for name, table in splits.tables.items())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return (
        f"training {found} ({model.num_parameters() / 1e6:.1f} M weights) on {device}; "
        f"rows: {rows}; labels: {', '.join(splits.names)}"
    )


def _quiet() -> None:
    """Libraries speak up from warnings on; what they say of our own choices is left out."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (".*does not have many workers.*", ".*LeafSpec.*", ".*lr_scheduler.step.*"):
        warnings.filterwarnings("ignore", message=message)
