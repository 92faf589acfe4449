"""What the server does with a model, under sagemaker-inference's names.

A model's own ``code/inference.py`` replaces any of them: ``model_fn``, ``input_fn``,
``predict_fn``, ``output_fn`` (or ``transform_fn`` in place of the last three).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from byoc.serving import codecs, variables
from byoc.serving.batching import Batcher, Limits, Passed, Row
from byoc.serving.codecs import Inputs
from byoc.serving.settings import read_settings
from byoc.serving.tokens import Tokenizer

MAX_LENGTH = 512
"""Tokens at most, where neither tokenizer nor model says fewer."""
GPU_TOKENS = 8192
"""Tokens of one batch on a GPU, which wants large ones; ``Limits`` has a CPU's."""

_last = threading.local()


@dataclass(frozen=True)
class Classifier:
    """Answers many threads at once: their inputs go through the model together."""

    tokenizer: Tokenizer
    batcher: Batcher
    labels: list[str]
    max_length: int
    told: str = ""
    """How it computes, for the log."""


def model_fn(model_dir: str) -> Classifier:
    """Loads a sequence-classification model and its tokenizer: safetensors only, no network."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from byoc.serving.engine import engine_of

    settings = read_settings()
    # One thread while it loads: a process that is forked from this one could not use others.
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True
    )
    device = _device(torch)
    model.to(device).eval()
    names = {int(number): name for number, name in model.config.id2label.items()}
    labels = [str(names[number]) for number in sorted(names)]
    max_length = _max_length(tokenizer, model.config, settings.max_length)
    is_cpu = device.type == "cpu"
    delay = settings.batch_delay_ms
    if delay is None and not is_cpu:
        delay = 0  # a GPU takes no core from those who carry the replies
    limits = Limits(
        requests=settings.batch_size or Limits.requests,
        tokens=Limits.tokens if is_cpu else GPU_TOKENS,
        delay=None if delay is None else delay / 1000,
    )
    executors = settings.threads if is_cpu else 1
    engine = engine_of(model, settings.precision)
    batcher = Batcher(engine.compute, executors, settings.threads, limits)
    return Classifier(Tokenizer(tokenizer, max_length), batcher, labels, max_length, engine.told)


def input_fn(request_body: bytes | str, request_content_type: str) -> Inputs:
    """Raises ``RequestFault``: 415 or 400."""
    return codecs.decode(request_body, request_content_type)


def predict_fn(data: Inputs, model: Classifier) -> list[Any]:
    """For each input its best label and score; where top_k is not 1, a list of the best top_k."""
    passed = model.batcher.scores(rows_of(data, model))
    _last.work = work_of(data, passed)
    return predictions(data, passed, model)


def rows_of(data: Inputs, model: Classifier) -> list[Row]:
    """The inputs as the model takes them."""
    return model.tokenizer.rows(data.texts, data.pairs)


def predictions(data: Inputs, passed: Passed, model: Classifier) -> list[Any]:
    """What ``predict_fn`` returns, of the rows' scores."""
    top_k = data.top_k
    ranked = [_ranked(row, model.labels)[:top_k] for row in passed.scores]
    return data.in_place([row[0] for row in ranked] if top_k == 1 else ranked)


@dataclass(frozen=True)
class Work:
    """What a request took: its inputs, the requests in its batch, seconds that it waited for it."""

    inputs: int = 1
    batch: int = 1
    waited: float = 0.0


def work_of(data: Inputs, passed: Passed) -> Work:
    return Work(len(data.texts), passed.requests, passed.waited)


def take_work() -> Work:
    """Of this thread's last request, told once; the usual where the model is not ours."""
    found: Work = getattr(_last, "work", Work())
    _last.work = Work()
    return found


def output_fn(prediction: list[Any], accept: str) -> tuple[bytes, str]:
    """Raises ``RequestFault`` 406."""
    return codecs.encode(prediction, accept)


def _device(torch: Any) -> Any:
    """The GPU that the model server gave to this worker, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("BYOC_SERVING_GPU") or 0)
    return torch.device("cuda", number % torch.cuda.device_count())


def _max_length(tokenizer: Any, config: Any, chosen: int | None) -> int:
    """The least of what tokenizer and model can take: some tokenizers name an absurd number."""
    positions = getattr(config, "max_position_embeddings", None) or MAX_LENGTH
    most = min(tokenizer.model_max_length, positions)
    if chosen is not None and chosen > most:
        raise ValueError(
            f"{variables.MAX_LENGTH.name} is {chosen}: this model takes at most {most}"
        )
    return int(chosen or min(most, MAX_LENGTH))


def _ranked(row: list[float], labels: list[str]) -> list[dict[str, Any]]:
    pairs = sorted(zip(labels, row, strict=True), key=lambda pair: pair[1], reverse=True)
    return [{"label": label, "score": score} for label, score in pairs]
