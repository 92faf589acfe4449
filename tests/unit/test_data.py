"""Batches: length buckets, dynamic padding, truncation."""

from __future__ import annotations

import random

import pytest
import torch

from byoc.training.config import TrainingConfig
from byoc.training.data import POOL, Collate, LengthBuckets, TextData, encode
from byoc.training.scratch import learn_tokenizer
from byoc.training.tables import Table

TEXTS = ["the cat sleeps", "the cats sleep near the old house every morning", "cats sleep"]


def lengths(rows: int) -> list[int]:
    source = random.Random(1)
    return [min(47, 4 + int(source.expovariate(1 / 8))) for _ in range(rows)]


def test_every_row_comes_once_an_epoch_in_full_batches() -> None:
    buckets = LengthBuckets(lengths(1001), batch_size=32, seed=0)
    batches = list(buckets)
    assert sorted(row for batch in batches for row in batch) == list(range(1001))
    assert len(batches) == len(buckets) == 32
    assert sorted(map(len, batches))[1:] == [32] * 31


def test_the_same_seed_gives_the_same_batches_and_each_epoch_its_own() -> None:
    first, second = (LengthBuckets(lengths(500), 16, seed=7) for _ in range(2))
    epochs = [list(first), list(first)]
    assert epochs == [list(second), list(second)]
    assert epochs[0] != epochs[1]
    assert list(LengthBuckets(lengths(500), 16, seed=8)) != epochs[0]


def test_an_epoch_can_be_asked_for_by_number() -> None:
    first, second = (LengthBuckets(lengths(500), 16, seed=7) for _ in range(2))
    list(first)
    second.epoch = 1
    assert list(second) == list(first)


def test_nearly_all_computed_tokens_are_real() -> None:
    rows = lengths(8551)
    padded = sum(
        max(rows[row] for row in batch) * len(batch) for batch in LengthBuckets(rows, 32, seed=0)
    )
    assert sum(rows) / padded >= 0.94


def test_batches_do_not_come_in_order_of_length() -> None:
    rows = lengths(32 * POOL * 2)
    longest = [max(rows[row] for row in batch) for batch in LengthBuckets(rows, 32, seed=0)]
    assert longest != sorted(longest)
    halves = longest[:POOL], longest[POOL:]
    means = [sum(half) / POOL for half in halves]
    assert means[0] == pytest.approx(means[1], rel=0.5)


def test_a_batch_is_padded_to_its_own_longest() -> None:
    batch = Collate(pad_token_id=9)(
        [{"input_ids": [1, 2, 3], "label": 0}, {"input_ids": [4], "label": 1}]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [0, 1]


def test_texts_are_cut_at_max_length_and_the_tokenizer_says_so() -> None:
    tokenizer = learn_tokenizer(TEXTS)
    rows = encode(Table(TEXTS, ["no", "yes", "no"]), ["no", "yes"], tokenizer, max_length=6)
    assert [row["label"] for row in rows] == [0, 1, 0]
    assert [len(row["input_ids"]) for row in rows] == [5, 6, 4]
    assert tokenizer.model_max_length == 6
    assert tokenizer.backend_tokenizer.truncation is None


def test_an_ordered_split_gives_each_row_its_place() -> None:
    rows = [{"input_ids": [number] * size, "label": 0} for number, size in enumerate((2, 5, 3, 1))]
    data = TextData({"validation": rows}, 0, TrainingConfig(batch_size=3))
    first_ids = torch.cat([batch["input_ids"][:, 0] for batch in data.val_dataloader()])
    assert first_ids.tolist() == data.order("validation") == [1, 2, 0, 3]
