"""The serving image against some clauses; `make test-contract-serving` tries them all.

What the others ask for is tried on `serve` as a process, which takes less time.
"""

from __future__ import annotations

import pytest

from byoc.conformance.clauses import Clause, catalogue
from byoc.conformance.image import Image
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.report import row
from byoc.conformance.runner import check

CLAUSES = [
    it for it in catalogue("serving") if it.id in ("B01", "H05", "H07", "H12", "H13", "M01", "M06")
]


@pytest.fixture(scope="module")
def outcomes(serving: Image) -> dict[str, Outcome]:
    return {it.id: it for it in check(serving, CLAUSES)}


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda it: it.id)
def test_clause(outcomes: dict[str, Outcome], clause: Clause) -> None:
    outcome = outcomes[clause.id]
    assert outcome.verdict is Verdict.PASS, row(outcome)
    print(row(outcome))
