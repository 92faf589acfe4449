"""Shared by all tests: the marker of a test is the folder it lies in."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser

TESTS = Path(__file__).parent


def pytest_configure() -> None:
    # A shell starts background jobs with SIGINT ignored, and programs inherit that: tests that
    # send Ctrl-C to a program of ours would then wait for good.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(getattr(pytest.mark, folder))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield found
    found.close()
