"""A test for each clause: see ``byoc.conformance.plugin``."""

from __future__ import annotations

import pytest

from byoc.conformance.clauses import Clause, catalogue
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.report import row


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not metafunc.config.getoption("image"):
        raise pytest.UsageError("byoc.conformance: name an image with --image IMAGE")
    metafunc.parametrize("clause", catalogue(), ids=lambda it: it.id)


def test_clause(conformance_outcomes: dict[str, Outcome], clause: Clause) -> None:
    outcome = conformance_outcomes.get(clause.id)
    if outcome is None:
        pytest.skip("nothing tells that the image is for this part; --image-part asks for it")
    if outcome.verdict is Verdict.FAIL:
        pytest.fail(row(outcome), pytrace=False)
    if outcome.verdict is not Verdict.PASS:
        pytest.skip(f"{outcome.verdict}: {outcome.seen}")
