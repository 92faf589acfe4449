"""The training benchmark's arithmetic; what it measures is not measured here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from byoc.bench.training_data import find, repeat, table
from byoc.bench.training_paths import Run
from byoc.bench.training_quality import random_batches


def test_what_no_part_accounts_for_is_outside() -> None:
    run = Run(rows=64, seconds=2.0, parts={"forward": 0.5, "backward": 1.0, "optimizer": 0.4})
    assert run.rate == 32
    assert run.outside == pytest.approx(0.05)


def test_random_batches_hold_every_row_once_and_differ_by_epoch() -> None:
    lengths = np.full(70, 5, np.int32)
    first, second = (random_batches(lengths, 32, 1, epoch) for epoch in (0, 1))
    assert [len(rows) for rows in first] == [32, 32, 6]
    assert sorted(np.concatenate(first)) == list(range(70))
    assert list(np.concatenate(first)) != list(np.concatenate(second))


def test_without_cola_the_figures_say_so_and_rows_can_be_repeated(tmp_path: Path) -> None:
    source = find(tmp_path / "nothing", tmp_path)
    assert "embedded" in source.told
    rows = len(table(source.validation))
    repeat(source.validation, 2 * rows + 1, tmp_path / "more")
    assert len(table(tmp_path / "more")) == 2 * rows + 1
