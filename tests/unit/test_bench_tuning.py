"""The tuning benchmark's arithmetic; what it measures is not measured here."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoc.bench.tuning_pruning import saved
from byoc.bench.tuning_runs import best
from byoc.bench.tuning_worth import cut
from tuning_results import trial, tuning


def test_the_epoch_in_which_a_trial_was_pruned_counts_as_trained() -> None:
    whole = trial(0, 0.5, curve=dict.fromkeys(range(1, 9), 0.5))
    early = trial(1, 0.1, "Pruned", curve={1: 0.1})
    assert saved(tuning(whole), 8) == 0
    assert saved(tuning(whole, early), 8) == pytest.approx(1 - (8 + 2) / 16)


def test_without_a_completed_trial_there_is_no_figure() -> None:
    assert best(tuning(trial(0, 0.5), trial(1, 0.6))) == 0.6
    with pytest.raises(ValueError, match="no completed trial"):
        best(tuning(trial(0, 0.5, "Pruned")))


def test_the_first_rows_are_taken_and_the_validation_whole(tmp_path: Path) -> None:
    (tmp_path / "in_domain_train.tsv").write_text("a\t1\t\tOne.\nb\t0\t*\tTwo.\nc\t1\t\tThree.\n")
    (tmp_path / "in_domain_dev.tsv").write_text("d\t1\t\tFour.\n")
    found = cut(tmp_path, tmp_path / "cut", 2)
    train = (found["--train"] / "in_domain_train.tsv").read_text()
    assert train.splitlines() == ["a\t1\t\tOne.", "b\t0\t*\tTwo."]
    assert (found["--validation"] / "in_domain_dev.tsv").read_text() == "d\t1\t\tFour.\n"
