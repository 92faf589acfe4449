"""Splits on disk as token ids: what the tokenizer itself would say, row by row."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byoc import contract
from byoc.training import tokens as tokens_module
from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault
from byoc.training.scratch import learn_tokenizer
from byoc.training.sources import Splits, read_splits
from byoc.training.tokens import Tokens, tokenize

WORDS = ["the", "cat", "sleeps", "near", "an", "old", "house", "every", "morning"]
TEXTS = [" ".join(WORDS[: 1 + row % len(WORDS)]) for row in range(20)]
SECOND = [" ".join(WORDS[row % len(WORDS) :]) for row in range(20)]
PAIRS = TrainingConfig(text_pair_column="second")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three rows of a train channel in turn are of class b, a, c; a fifth becomes validation."""
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setattr(tokens_module, "ROWS", 7)
    folder = contract.channel_dir("train")
    folder.mkdir(parents=True)
    records = [
        {"sentence": text, "second": second, "label": "bac"[row % 3]}
        for row, (text, second) in enumerate(zip(TEXTS, SECOND, strict=True))
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    return tmp_path


def bert_tokenizer() -> Any:
    """One that names token types among the inputs."""
    tokenizer = learn_tokenizer(TEXTS)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer


def written(splits: Splits, tokenizer: Any, length: int, tree: Path) -> dict[str, Tokens]:
    folder = tree / "tokens"
    tokenize(splits, tokenizer, length, folder)
    assert {path.name for path in folder.iterdir()} == {f"{split}.arrow" for split in splits.sizes}
    return {split: Tokens(folder / f"{split}.arrow") for split in splits.sizes}


@pytest.mark.parametrize("length", [5, 128])
@pytest.mark.parametrize("config", [TrainingConfig(), PAIRS], ids=["texts", "pairs"])
def test_rows_are_what_the_tokenizer_says(tree: Path, config: TrainingConfig, length: int) -> None:
    splits, tokenizer = read_splits(config), bert_tokenizer()
    for split, tokens in written(splits, tokenizer, length, tree).items():
        examples = list(splits.examples(split))
        assert len(tokens) == len(examples) == splits.sizes[split]
        assert tokens.has_types is (config is PAIRS)
        for row, (text, pair, label) in enumerate(examples):
            expected = tokenizer(text, pair, truncation=True, max_length=length)
            assert tokens.ids(row).tolist() == expected["input_ids"]
            assert tokens.lengths[row] == len(expected["input_ids"])
            assert tokens.labels[row] == label
            types = tokens.types(row)
            assert (
                types is None
                if config is not PAIRS
                else (types is not None and types.tolist() == expected["token_type_ids"])
            )


def test_token_types_only_where_the_tokenizer_names_them(tree: Path) -> None:
    tokens = written(read_splits(PAIRS), learn_tokenizer(TEXTS), 32, tree)
    assert tokens["train"].types(0) is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_long_texts_are_cut_where_the_tokenizer_cuts(tree: Path, side: str) -> None:
    folder = contract.channel_dir("train")
    long = f"{'cat ' * 3000} house {'near ' * 3000} old"
    (folder / "a.jsonl").unlink()
    (folder / "a.tsv").write_text("sentence\tlabel\n" + f"{long}\t0\n{long}\t1\n" * 2)
    splits, tokenizer = read_splits(TrainingConfig()), learn_tokenizer(TEXTS)
    tokenizer.truncation_side = side
    expected = tokenizer(long.strip(), truncation=True, max_length=6)["input_ids"]
    assert written(splits, tokenizer, 6, tree)["train"].ids(0).tolist() == expected


def test_ids_are_small_where_the_vocabulary_is(tree: Path) -> None:
    tokenizer, splits = learn_tokenizer(TEXTS), read_splits(TrainingConfig())
    assert written(splits, tokenizer, 32, tree)["train"].ids(0).dtype == np.uint16
    tokenizer.add_tokens([f"word{number}" for number in range(70_000)])
    assert written(splits, tokenizer, 32, tree)["train"].ids(0).dtype == np.int32


def test_the_tokenizer_is_left_as_it_was(tree: Path) -> None:
    tokenizer = learn_tokenizer(TEXTS)
    before = tokenizer.backend_tokenizer.to_str()
    written(read_splits(TrainingConfig()), tokenizer, 5, tree)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_another_process_can_have_the_same_rows(tree: Path) -> None:
    tokens = written(read_splits(PAIRS), bert_tokenizer(), 32, tree)["train"]
    pickled = pickle.dumps(tokens)
    assert len(pickled) < 500
    copy = pickle.loads(pickled)
    assert copy.ids(8).tolist() == tokens.ids(8).tolist()
    assert copy.labels.tolist() == tokens.labels.tolist()


def test_the_label_numbers_are_those_of_the_names(tree: Path) -> None:
    splits = read_splits(TrainingConfig())
    assert splits.labels == splits.names == ["a", "b", "c"]
    assert splits.counts == {"train": [6, 6, 5], "validation": [1, 1, 1]}
    assert splits.sizes == {"train": 17, "validation": 3}
    tokens = written(splits, learn_tokenizer(TEXTS), 32, tree)["train"]
    assert np.bincount(tokens.labels).tolist() == splits.counts["train"]


def test_a_channel_that_changes_between_two_readings_is_a_fault(tree: Path) -> None:
    splits = read_splits(TrainingConfig())
    path = contract.channel_dir("train") / "a.jsonl"
    whole = path.read_text()
    for changed in (whole.rsplit("\n", 1)[0], f"{whole}\n{whole}", whole.replace('"c"', '"d"')):
        path.write_text(changed)
        with pytest.raises(TrainingFault, match=r"changed while it was read|has fewer rows"):
            tokenize(splits, learn_tokenizer(TEXTS), 32, tree / "tokens")
    assert not list((tree / "tokens").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full: no disk is ever full")
def test_a_full_disk_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree / "tokens"
    folder.mkdir()
    (folder / "train.tmp").symlink_to("/dev/full")
    with pytest.raises(TrainingFault) as caught:
        tokenize(read_splits(TrainingConfig()), learn_tokenizer(TEXTS), 32, folder)
    assert str(caught.value) == (
        f"cannot write the tokenized rows to {folder}: No space left on device; the job needs a "
        "larger volume (VolumeSizeInGB)"
    )
    assert not list(folder.iterdir())


def test_an_unwritable_folder_is_named(tree: Path) -> None:
    (tree / "tokens").write_text("a file where a folder should be")
    with pytest.raises(TrainingFault, match=r"cannot write the tokenized rows to .*: File exists"):
        tokenize(read_splits(TrainingConfig()), learn_tokenizer(TEXTS), 32, tree / "tokens")


FORK = """
import os, sys
from pathlib import Path
from byoc.training.config import TrainingConfig
from byoc.training.scratch import learn_tokenizer
from byoc.training.sources import read_splits
from byoc.training.tokens import tokenize
splits = read_splits(TrainingConfig())
tokenizer = learn_tokenizer(splits.texts("train"))
tokenize(splits, tokenizer, 32, Path(sys.argv[1]))
child = os.fork()
if not child:
    os._exit(len(tokenizer(["the cat"] * 100)["input_ids"]))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_neither_hangs_nor_warns(tree: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "TOKENIZERS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tree / "tokens")],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("100\n", "")
