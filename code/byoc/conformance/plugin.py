"""The clauses as tests: ``pytest --pyargs byoc.conformance --image IMAGE``.

The package's entry point of pytest's brings the options; the tests are in ``test_clauses``.
Each option's name begins with ``--image``: it is there in every run of pytest beside byoc.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from byoc.conformance.given import Given
    from byoc.conformance.image import Image
    from byoc.conformance.outcome import Outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("byoc", "SageMaker's container contract (byoc.conformance)")
    group.addoption("--image", help="the image whose clauses are tried")
    group.addoption(
        "--image-part",
        action="append",
        choices=("training", "serving"),
        help="default: what the image tells",
    )
    group.addoption("--image-channel", action="append", metavar="NAME=DIR", help="data")
    group.addoption("--image-hyperparameters", type=Path, metavar="FILE", help="a JSON object")
    group.addoption("--image-model", type=Path, metavar="FILE", help="model.tar.gz or a folder")
    group.addoption("--image-payload", type=Path, metavar="FILE", help="a good request's body")
    group.addoption("--image-content-type", metavar="TYPE", help="of the payload")
    group.addoption("--image-env", action="append", metavar="NAME=VALUE", help="a variable")


@pytest.fixture(scope="session")
def conformance_image(pytestconfig: pytest.Config) -> Iterator[Image]:
    """The image of ``--image``; everything that its clauses made goes at the end."""
    from byoc.conformance.engine import EngineError

    with contextlib.ExitStack() as stack:
        try:
            found = _open(pytestconfig, stack)
        except (EngineError, OSError, ValueError) as error:
            fault = str(error)
        else:
            fault = ""
        if fault:
            pytest.fail(fault, pytrace=False)
        yield found


def _open(config: pytest.Config, stack: contextlib.ExitStack) -> Image:
    from byoc.conformance.engine import Engine
    from byoc.conformance.given import open_image

    return open_image(stack.enter_context(Engine()), config.getoption("image"), _given(config))


@pytest.fixture(scope="session")
def conformance_outcomes(
    request: pytest.FixtureRequest, conformance_image: Image
) -> dict[str, Outcome]:
    """By id, the outcomes of the clauses whose tests were chosen: all run side by side."""
    from byoc.conformance import parts
    from byoc.conformance.clauses import catalogue
    from byoc.conformance.runner import check

    asked = request.config.getoption("image_part") or list(parts.find(conformance_image))
    # Those of other tests have no such parameter.
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {it.params["clause"].id for it in callspecs if it and "clause" in it.params}
    wanted = [it for it in catalogue("image", *(asked or parts.PARTS)) if it.id in chosen]
    return {it.id: it for it in check(conformance_image, wanted)}


def _given(config: pytest.Config) -> Given:
    from byoc.conformance.given import Given, pairs, read_hyperparameters

    file, payload = config.getoption("image_hyperparameters"), config.getoption("image_payload")
    channels = pairs(config.getoption("image_channel") or [])
    return Given(
        {name: Path(it).absolute() for name, it in channels.items()},
        read_hyperparameters(file) if file else {},
        config.getoption("image_model"),
        payload.read_bytes() if payload else None,
        config.getoption("image_content_type") or "",
        pairs(config.getoption("image_env") or []),
    )
