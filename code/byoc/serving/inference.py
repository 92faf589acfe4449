"""What the server does with a model, under sagemaker-inference's names.

A model's own ``code/inference.py`` replaces any of them: ``model_fn``, ``input_fn``,
``predict_fn``, ``output_fn`` (or ``transform_fn`` in place of the last three).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from byoc.serving import codecs
from byoc.serving.codecs import Inputs

MAX_LENGTH = 512
"""Tokens at most, where neither tokenizer nor model says fewer."""
CHARACTERS_PER_TOKEN = 256
"""More than the average token has in any text, so that cutting there loses none of max_length."""
TOKENS_PER_BATCH = 8192
"""Padded tokens that go through the model at once: bounds memory, whatever a request brings."""


@dataclass(frozen=True)
class Classifier:
    model: Any
    tokenizer: Any
    device: Any
    labels: list[str]
    max_length: int


def model_fn(model_dir: str) -> Classifier:
    """Loads a sequence-classification model and its tokenizer: safetensors only, no network."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads()))
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True
    )
    device = _device(torch)
    model.to(device).eval()
    names = {int(number): name for number, name in model.config.id2label.items()}
    labels = [str(names[number]) for number in sorted(names)]
    return Classifier(model, tokenizer, device, labels, _max_length(tokenizer, model.config))


def input_fn(request_body: bytes | str, request_content_type: str) -> Inputs:
    """Raises ``RequestFault``: 415 or 400."""
    return codecs.decode(request_body, request_content_type)


def predict_fn(data: Inputs, model: Classifier) -> list[Any]:
    """For each input its best label and score; where top_k is not 1, a list of the best top_k."""
    top_k = data.top_k
    scores = _scores(data, model)
    ranked = [_ranked(row, model.labels)[:top_k] for row in scores]
    return data.in_place([row[0] for row in ranked] if top_k == 1 else ranked)


def output_fn(prediction: list[Any], accept: str) -> tuple[bytes, str]:
    """Raises ``RequestFault`` 406."""
    return codecs.encode(prediction, accept)


def _device(torch: Any) -> Any:
    """The GPU that the model server gave to this worker, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("BYOC_SERVING_GPU") or 0)
    return torch.device("cuda", number % torch.cuda.device_count())


def _max_length(tokenizer: Any, config: Any) -> int:
    """The least of what tokenizer and model can take: some tokenizers name an absurd number."""
    positions = getattr(config, "max_position_embeddings", None) or MAX_LENGTH
    return int(min(tokenizer.model_max_length, positions, MAX_LENGTH))


def _shortened(text: str, max_length: int) -> str:
    """Without the end that truncation would drop anyway: tokenizing 6 MB takes half a minute."""
    return text[: max_length * CHARACTERS_PER_TOKEN]


def _scores(data: Inputs, classifier: Classifier) -> list[list[float]]:
    """Probabilities for each input, computed in batches of similar length, in the inputs' order."""
    encoded = _encoded(data, classifier)
    scores: list[list[float]] = [[] for _ in encoded]
    for batch in _batches([len(row["input_ids"]) for row in encoded]):
        rows = {name: [encoded[i][name] for i in batch] for name in encoded[0]}
        for position, row in zip(batch, _forward(rows, classifier), strict=True):
            scores[position] = row
    return scores


def _encoded(data: Inputs, classifier: Classifier) -> list[dict[str, list[int]]]:
    """What the model takes for each input, by name, not padded yet."""
    limit = classifier.max_length
    pairs = data.pairs or [None] * len(data.texts)
    encoded: list[dict[str, list[int]]] = [{} for _ in data.texts]
    for is_pair in (False, True):  # the tokenizer takes all with a second text, or all without
        places = [place for place, pair in enumerate(pairs) if (pair is not None) is is_pair]
        if not places:
            continue
        texts = [_shortened(data.texts[place], limit) for place in places]
        second = [_shortened(pairs[place] or "", limit) for place in places] if is_pair else None
        found = classifier.tokenizer(texts, second, truncation=True, max_length=limit)
        for name, values in found.items():
            for place, value in zip(places, values, strict=True):
                encoded[place][name] = value
    return encoded


def _batches(lengths: list[int]) -> list[list[int]]:
    """Positions in batches: longest first, each at most TOKENS_PER_BATCH tokens when padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches: list[list[int]] = []
    for position in order:
        room = batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= TOKENS_PER_BATCH
        if room:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def _forward(rows: dict[str, list[list[int]]], classifier: Classifier) -> list[list[float]]:
    import torch

    padded = classifier.tokenizer.pad(rows, return_tensors="pt").to(classifier.device)
    with torch.inference_mode():
        logits = classifier.model(**padded).logits
    probabilities: list[list[float]] = torch.softmax(logits.float(), dim=-1).tolist()
    return probabilities


def _ranked(row: list[float], labels: list[str]) -> list[dict[str, Any]]:
    pairs = sorted(zip(labels, row, strict=True), key=lambda pair: pair[1], reverse=True)
    return [{"label": label, "score": score} for label, score in pairs]
