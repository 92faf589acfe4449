"""The model to start from: its tokenizer and length, and what they must be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byoc.training import encoder
from byoc.training.config import SCRATCH, TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.scratch import learn_tokenizer
from tiny_model import MAX_LENGTH, write_tiny_model

CONFIG = TrainingConfig()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_head_is_for_the_names(folder: Path) -> None:
    tokenizer = encoder.tokenizer(str(folder), CONFIG, ())
    names = ["a", "b", "c"]
    model = encoder.model(str(folder), CONFIG, tokenizer, names)
    assert model.training
    assert model.config.id2label == dict(enumerate(names))
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert model.classifier.out_features == 3


def test_the_same_seed_gives_the_same_head(folder: Path) -> None:
    def weights(seed: int) -> Any:
        config = TrainingConfig(seed=seed)
        model = encoder.model(str(folder), config, None, ["a", "b", "c"])
        return model.classifier.weight.detach()

    assert weights(1).equal(weights(1))
    assert not weights(1).equal(weights(2))


@pytest.mark.parametrize(
    ("shape", "has_types"),
    [
        ({"model_type": "bert", "type_vocab_size": 2}, True),
        ({"model_type": "roberta", "type_vocab_size": 1}, False),
        ({"model_type": "distilbert"}, False),
        ({"model_type": "electra", "type_vocab_size": 2}, True),
    ],
)
def test_token_types_go_with_the_model(
    folder: Path, tmp_path: Path, shape: dict[str, Any], has_types: bool
) -> None:
    """Here, and where the saved tokenizer is loaded: in serving."""
    from transformers import AutoTokenizer

    change(folder / "config.json", **shape)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    change(folder / "tokenizer_config.json", model_input_names=names)
    tokenizer = encoder.tokenizer(str(folder), CONFIG, ())
    tokenizer.save_pretrained(tmp_path / "saved")
    for found in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        assert ("token_type_ids" in found("a dog", "the cat")) is has_types


def test_scratch_knows_the_words_and_has_no_token_types() -> None:
    tokenizer = encoder.tokenizer(SCRATCH, CONFIG, iter(["the cat sleeps", "a dog"]))
    assert tokenizer.tokenize("the dog sleeps") == ["the", "dog", "sleeps"]
    encoded = tokenizer("the cat", "a dog")
    assert set(encoded) == {"input_ids", "attention_mask"}
    assert encoded["input_ids"].count(tokenizer.sep_token_id) == 2
    model = encoder.model(SCRATCH, CONFIG, tokenizer, ["x", "y", "z"])
    assert model.config.id2label == {0: "x", 1: "y", 2: "z"}


def test_length_is_no_more_than_the_encoders_positions(folder: Path) -> None:
    tokenizer = encoder.tokenizer(str(folder), CONFIG, ())
    assert encoder.longest(str(folder), tokenizer, 8) == 8
    assert encoder.longest(str(folder), tokenizer, 128) == MAX_LENGTH
    tokenizer.model_max_length = 20
    assert encoder.longest(str(folder), tokenizer, 128) == 20
    assert encoder.longest(SCRATCH, learn_tokenizer(["a"]), 1000) == 512


def test_roberta_counts_positions_from_behind_the_padding_token(folder: Path) -> None:
    change(folder / "config.json", model_type="roberta", max_position_embeddings=34)
    tokenizer = encoder.tokenizer(str(folder), CONFIG, ())
    tokenizer.pad_token = "[UNK]"  # number 1, as RoBERTa's is
    assert encoder.longest(str(folder), tokenizer, 128) == 32


def test_a_tokenizer_without_padding_is_a_fault(folder: Path) -> None:
    change(folder / "tokenizer_config.json", pad_token=None)
    with pytest.raises(TrainingFault, match="has no padding token"):
        encoder.tokenizer(str(folder), CONFIG, ())


def test_reading_the_tables_imports_nothing_heavy() -> None:
    """A fault in them is told within a second, not after torch's several."""
    modules = "import byoc.training.main, byoc.training.sources, byoc.training.encoder, sys"
    heavy = "{'torch', 'transformers', 'pyarrow', 'numpy', 'pytorch_lightning'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{modules}; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "[]\n"
