"""Batches: length buckets, dynamic padding, shares of processes and micro-batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byoc.training.config import TrainingConfig
from byoc.training.data import IGNORED, POOL, TextData, global_batches, shares
from byoc.training.tokens import ROWS, Tokens


def lengths(rows: int) -> Any:
    """As CoLA's, nearly."""
    source = random.Random(1)
    found = [min(47, 4 + int(source.expovariate(1 / 8))) for _ in range(rows)]
    return np.array(found, np.int32)


def tokens(folder: Path, rows: Sequence[int], types: bool = False) -> Tokens:
    """A split whose row r has ``rows[r]`` tokens, all of them r + 1, and the label r % 3."""
    columns: dict[str, Any] = {
        "input_ids": pyarrow.array(
            [[row + 1] * length for row, length in enumerate(rows)], pyarrow.list_(pyarrow.uint16())
        ),
        "label": pyarrow.array([row % 3 for row in range(len(rows))], pyarrow.int16()),
    }
    if types:
        columns["token_type_ids"] = pyarrow.array(
            [[0] + [1] * (length - 1) for length in rows], pyarrow.list_(pyarrow.uint8())
        )
    path = folder / "train.arrow"
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=ROWS)
    return Tokens(path)


def text_data(
    folder: Path, rows: Sequence[int], rank: int = 0, world: int = 1, **settings: Any
) -> TextData:
    split = tokens(folder, rows)
    splits = {"train": split, "validation": split}
    return TextData(splits, 0, TrainingConfig(**settings), rank, world)


def rows_of(batch: dict[str, Any]) -> list[int]:
    """The rows of a batch that count."""
    first = batch["input_ids"][:, 0][batch["labels"] != IGNORED]
    return [int(value) - 1 for value in first]


def test_every_row_comes_once_an_epoch_in_full_batches() -> None:
    batches = global_batches(lengths(1001), 32, seed=0, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1001))
    assert sorted(map(len, batches)) == [9] + [32] * 31


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in global_batches(lengths(500), 16, seed, epoch)]

    assert order(7, 1) == order(7, 1)
    assert len({str(order(*pair)) for pair in ((7, 1), (7, 2), (8, 1), (1, 7))}) == 4


def test_nearly_all_computed_tokens_are_real() -> None:
    rows = lengths(8551)
    for epoch in range(3):
        batches = global_batches(rows, 32, 0, epoch)
        assert rows.sum() / sum(rows[batch].max() * len(batch) for batch in batches) >= 0.965


def test_batches_do_not_come_in_order_of_length() -> None:
    rows = lengths(32 * POOL * 2)
    longest = [int(rows[batch].max()) for batch in global_batches(rows, 32, 0, 0)]
    assert longest != sorted(longest)
    halves = np.mean(longest[:POOL]), np.mean(longest[POOL:])
    assert halves[0] == pytest.approx(halves[1], rel=0.5)


def test_rows_of_a_batch_part_in_the_next_epoch() -> None:
    rows = lengths(8551)
    first = np.zeros(len(rows), np.int64)
    for number, batch in enumerate(global_batches(rows, 32, 0, 0)):
        first[batch] = number
    again = [
        (first[batch][:, None] == first[batch]).mean() for batch in global_batches(rows, 32, 0, 1)
    ]
    assert np.mean(again) < 0.15


@given(
    rows=st.integers(1, 90),
    batch_size=st.integers(1, 20),
    world=st.integers(1, 4),
    micro_batches=st.integers(1, 5),
    skip=st.integers(0, 9),
)
def test_shares_of_a_step_make_up_its_batch(
    rows: int, batch_size: int, world: int, micro_batches: int, skip: int
) -> None:
    """Whatever the processes and micro-batches; and what is skipped changes nothing after it."""
    batches = global_batches(lengths(rows), batch_size, 3, 1)
    found = [list(shares(batches, rank, world, micro_batches)) for rank in range(world)]
    for step, batch in enumerate(batches):
        of_step = [
            share
            for own in found
            for share in own[step * micro_batches : (step + 1) * micro_batches]
        ]
        assert len(of_step) == world * micro_batches
        assert {share.total for share in of_step} == {len(batch)}
        assert sorted(row for share in of_step for row in share.rows) == sorted(batch)
    for rank in range(world):
        tail = list(shares(batches[skip:], rank, world, micro_batches))
        assert [share.rows.tolist() for share in tail] == [
            share.rows.tolist() for share in found[rank][skip * micro_batches :]
        ]


def test_a_batch_is_padded_to_its_own_longest(tmp_path: Path) -> None:
    data = text_data(tmp_path, [3, 1], batch_size=2)
    (batch,) = data.train_dataloader()
    assert batch["input_ids"].tolist() == [[2, 0, 0], [1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [1, 0]
    assert batch["rows"] == 2
    assert {batch[name].dtype for name in batch if name != "rows"} == {torch.int64}
    assert "token_type_ids" not in batch


def test_token_types_are_padded_with_zeros(tmp_path: Path) -> None:
    split = tokens(tmp_path, [3, 2], types=True)
    data = TextData({"train": split}, 9, TrainingConfig(batch_size=2))
    (batch,) = data.train_dataloader()
    assert batch["token_type_ids"].tolist() == [[0, 1, 0], [0, 1, 1]]
    assert batch["input_ids"].tolist() == [[2, 2, 9], [1, 1, 1]]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_processes_change_nothing(tmp_path: Path, workers: int) -> None:
    data = text_data(tmp_path, lengths(100).tolist(), batch_size=8, num_workers=workers)
    batches = global_batches(data.tokens["train"].lengths, 8, TrainingConfig().seed, 0)
    assert [rows_of(batch) for batch in data.train_dataloader()] == [
        batch.tolist() for batch in batches
    ]


def test_processes_and_micro_batches_see_each_row_once(tmp_path: Path) -> None:
    settings = {"batch_size": 8, "gradient_accumulation_steps": 3}
    ranks = [text_data(tmp_path, [2] * 19, rank, 2, **settings) for rank in range(2)]
    loaders = [list(data.train_dataloader()) for data in ranks]
    assert [len(loader) for loader in loaders] == [9, 9]
    assert sorted(row for loader in loaders for batch in loader for row in rows_of(batch)) == list(
        range(19)
    )
    # The last step's batch may have 3 rows for 6 shares: the others have one that does not count.
    assert all(len(batch["labels"]) for loader in loaders for batch in loader)
    assert sorted(batch["rows"] for batch in loaders[0]) == [3] * 3 + [8] * 6


def test_resuming_skips_the_steps_that_are_done(tmp_path: Path) -> None:
    settings = {"batch_size": 4, "gradient_accumulation_steps": 2}
    data = text_data(tmp_path, lengths(50).tolist(), **settings)
    assert data.steps_per_epoch() == 13

    def epoch(number: int) -> list[list[int]]:
        data.trainer = SimpleNamespace(current_epoch=number)  # type: ignore[assignment]
        loader = data.train_dataloader()
        found = [rows_of(batch) for batch in loader]
        assert len(loader) == len(found)
        return found

    whole = [epoch(0), epoch(1), epoch(2)]
    data.start = (1, 5)
    assert epoch(1) == whole[1][10:]
    assert epoch(2) == whole[2]


def test_an_ordered_split_gives_each_row_its_place(tmp_path: Path) -> None:
    data = text_data(tmp_path, [2, 5, 3, 1], batch_size=3)
    found = [row for batch in data.val_dataloader() for row in rows_of(batch)]
    assert found == data.order("validation").tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize("rows", [4, 8, 9, 2])
def test_processes_part_an_ordered_split(tmp_path: Path, rows: int) -> None:
    ranks = [text_data(tmp_path, range(1, rows + 1), rank, 4, batch_size=2) for rank in range(4)]
    loaders = [list(data.ordered("validation")) for data in ranks]
    assert len({len(loader) for loader in loaders}) == 1, "DDP would wait for the others' batches"
    for data, loader in zip(ranks, loaders, strict=True):
        assert [row for batch in loader for row in rows_of(batch)] == data.order(
            "validation"
        ).tolist()
    found = [row for loader in loaders for batch in loader for row in rows_of(batch)]
    assert sorted(found) == list(range(rows))
