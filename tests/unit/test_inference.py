"""Predictions of a tiny model against the model called directly, one text at a time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from byoc.serving import inference
from byoc.serving.codecs import Inputs
from byoc.serving.functions import Functions
from tiny_model import LABELS, MAX_LENGTH, write_tiny_model

TEXTS = ["the dog sleeps", "", "a cat", "the " * 200, "the dog sees a cat", "zebra"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> inference.Classifier:
    return inference.model_fn(str(folder))


def direct(text: str, folder: Path, pair: str | None = None) -> list[float]:
    """The scores of the model as Hugging Face loads it."""
    import torch

    model, tokenizer = loaded(folder)
    # As a batch of one: alone, the tokenizer takes an empty second text for none.
    encoded = tokenizer(
        [text],
        pair if pair is None else [pair],
        truncation=True,
        max_length=MAX_LENGTH,
        return_tensors="pt",
    )
    with torch.inference_mode():
        return model(**encoded).logits.softmax(-1)[0].tolist()


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def test_length_is_capped_where_the_tokenizer_names_an_absurd_one(
    classifier: inference.Classifier,
) -> None:
    assert classifier.max_length == MAX_LENGTH


def test_a_batch_gives_what_each_text_gives_alone(
    classifier: inference.Classifier, folder: Path
) -> None:
    predictions = inference.predict_fn(Inputs(TEXTS), classifier)
    for text, found in zip(TEXTS, predictions, strict=True):
        scores = direct(text, folder)
        best = max(range(len(scores)), key=scores.__getitem__)
        assert found["label"] == LABELS[best]
        assert found["score"] == pytest.approx(scores[best], abs=1e-5)


def test_top_k_gives_a_list_for_each_text(classifier: inference.Classifier) -> None:
    predictions = inference.predict_fn(Inputs(TEXTS, {"top_k": 5}), classifier)
    assert [len(row) for row in predictions] == [2] * len(TEXTS)
    for row in predictions:
        assert row[0]["score"] >= row[1]["score"]
        assert sum(entry["score"] for entry in row) == pytest.approx(1, abs=1e-5)


def test_sentence_pairs_and_texts_go_together(
    classifier: inference.Classifier, folder: Path
) -> None:
    pairs = ["a cat sleeps", None, "", "the dog sees", None, "the cat " * 200]
    predictions = inference.predict_fn(Inputs(TEXTS, {"top_k": 2}, pairs), classifier)
    for text, pair, found in zip(TEXTS, pairs, predictions, strict=True):
        scores = direct(text, folder, pair)
        given = {entry["label"]: entry["score"] for entry in found}
        assert [given[name] for name in LABELS.values()] == pytest.approx(scores, abs=1e-5)


def test_labels_are_as_many_as_the_model_has_by_their_names(tmp_path: Path) -> None:
    names = {0: "contradiction", 1: "neutral", 2: "entailment"}
    classifier = inference.model_fn(str(write_tiny_model(tmp_path, names)))
    body = (
        b'{"inputs": [{"text": "the dog sees", "text_pair": "a cat"}], "parameters": {"top_k": 9}}'
    )
    (found,) = inference.predict_fn(inference.input_fn(body, "application/json"), classifier)
    assert {entry["label"] for entry in found} == set(names.values())
    scores = dict(zip(names.values(), direct("the dog sees", tmp_path, "a cat"), strict=True))
    assert {entry["label"]: entry["score"] for entry in found} == pytest.approx(scores, abs=1e-5)


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    import torch

    for path in folder.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        inference.model_fn(str(tmp_path))


def test_a_models_own_script_replaces_single_functions(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(
        "def model_fn(folder):\n    return folder\n"
        "def predict_fn(data, model):\n    return [data.texts, model]\n"
    )
    functions = Functions(tmp_path)
    body, content_type = functions.answer(b'{"inputs": "a"}', "application/json", "*/*")
    assert body == f'[["a"], "{tmp_path}"]'.encode()
    assert content_type == "application/json"
    assert not functions.is_default


def test_transform_fn_replaces_the_three(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(
        "def model_fn(folder):\n    return 3\n"
        "def transform_fn(model, body, content_type, accept):\n    return body * model, accept\n"
    )
    assert Functions(tmp_path).answer(b"ab", "text/plain", "text/csv") == (b"ababab", "text/csv")
