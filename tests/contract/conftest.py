"""The images under test, with runs that clauses and tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from byoc.conformance.engine import Engine, EngineError
from byoc.conformance.given import open_image
from byoc.conformance.image import Image

TRAINING = "byoc-training:cpu"
SERVING = "byoc-serving:cpu"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        found = Engine()
    except EngineError as error:
        pytest.skip(str(error))
    with found:
        yield found


@pytest.fixture(scope="session")
def training(engine: Engine) -> Image:
    try:
        return open_image(engine, TRAINING)
    except EngineError as error:
        pytest.skip(f"{error} (`make images`)")


@pytest.fixture(scope="session")
def serving(engine: Engine) -> Image:
    try:
        return open_image(engine, SERVING)
    except EngineError as error:
        pytest.skip(f"{error} (`make images`)")
