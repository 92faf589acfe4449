"""The training image against each clause; `make test-contract-training` prints the same rows."""

from __future__ import annotations

import pytest

from byoc.conformance.clauses import Clause, catalogue
from byoc.conformance.image import Image
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.report import row
from byoc.conformance.runner import check

CLAUSES = [*catalogue("training"), *(it for it in catalogue("image") if it.id == "I02")]


@pytest.fixture(scope="module")
def outcomes(training: Image) -> dict[str, Outcome]:
    return {it.id: it for it in check(training, CLAUSES)}


# The first one runs them all, side by side.
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda it: it.id)
def test_clause(outcomes: dict[str, Outcome], clause: Clause) -> None:
    outcome = outcomes[clause.id]
    assert outcome.verdict is Verdict.PASS, row(outcome)
    print(row(outcome))


def test_files_in_nested_folders_give_the_metrics_of_one_file(outcomes: dict[str, Outcome]) -> None:
    assert "the same metrics as from one file" in outcomes["T05"].seen
