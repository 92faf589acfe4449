"""Is the check right? Images that break the contract on purpose: exactly what each declares fails.

Here the good ones and a handful of broken ones; `make test-conformance` tries every image against
every clause of its part, three times.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TypeGuard

import broken
import pytest
import requests
from broken import BROKEN, GOOD, SERVING, TRAINING, Broken

from byoc.conformance import registry
from byoc.conformance.clauses import catalogue
from byoc.conformance.engine import Engine
from byoc.conformance.given import open_image
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.report import row
from byoc.conformance.runner import check
from byoc.launch.registry import KINDS, read_manifest

Checks = Mapping[tuple[str, int], Future[list[Outcome]]]

LONG = bool(os.environ.get("BYOC_LONG"))
TURNS = range(3) if LONG else range(1)
SLOW = {"H03", "H04", "H09", "H10", "H11", "M02", "T11", "T13", "T19"}
"""Left out of the good images' short form, for time's sake."""

SHORT = {
    (TRAINING, "good"): set(),
    (SERVING, "good"): set(),
    (TRAINING, "secret"): {"I02"},
    (TRAINING, "fails-with-0"): {"T06", "T10"},
    (TRAINING, "link-in-model"): {"T09", "T15"},
    (SERVING, "port-fixed"): {"H01", "H02"},
    (SERVING, "tracebacks-told"): {"H05", "H07"},
    (SERVING, "names-split"): {"M03", "M05"},
    (SERVING, "lines-reordered"): {"B01", "B02"},
}
"""By image, the clauses that the short form tries; none given: all but the slow ones."""

AT_ONCE = 3
"""Most of a check is waiting: so many images are checked side by side, each by a process."""

CHOSEN = [it for it in BROKEN if LONG or (it.part, it.name) in SHORT]


@pytest.fixture(scope="module")
def checks(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Checks]:
    """What is known, or will be, of each image that a test of this run asks for, by its turn."""
    broken.build_good()
    asked = [it.callspec.params for it in request.session.items if _is_asked(it)]
    pool = ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("fork"))
    try:
        yield {
            (it["image"].image, it["turn"]): pool.submit(
                outcomes_of, it["image"], tmp_path_factory.mktemp("workload")
            )
            for it in asked
        }
    finally:
        pool.shutdown(cancel_futures=True)
        broken.remove()


def _is_asked(item: pytest.Item) -> TypeGuard[pytest.Function]:
    named = "test_exactly_the_declared_clauses_fail"
    return isinstance(item, pytest.Function) and item.originalname == named


def clauses_for(image: Broken) -> set[str]:
    known = {it.id for it in catalogue("image", image.part)}
    if LONG:
        return known
    return SHORT[image.part, image.name] or known - SLOW


def outcomes_of(image: Broken, folder: Path) -> list[Outcome]:
    wanted = [it for it in catalogue("image", image.part) if it.id in clauses_for(image)]
    with Engine(parallel=4) as engine:
        opened = open_image(engine, broken.build(image), broken.workload(image, folder))
        return check(opened, wanted)


def test_every_clause_is_broken_by_an_image() -> None:
    """I01 by the one that is pushed below; a declared clause is one that there is."""
    declared = {clause for it in BROKEN for clause in it.clauses} | {"I01"}
    assert declared == {it.id for it in catalogue()}
    assert len({it.image for it in BROKEN}) == len(BROKEN) >= 30


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("image", CHOSEN, ids=lambda it: f"{it.part}-{it.name}")
def test_exactly_the_declared_clauses_fail(image: Broken, turn: int, checks: Checks) -> None:
    outcomes = checks[image.image, turn].result()
    failed = {it.id for it in outcomes if it.verdict is Verdict.FAIL}
    told = "\n".join(row(it) for it in outcomes if (it.id in failed) != (it.id in image.clauses))
    assert failed == image.clauses & clauses_for(image), told
    untried = [row(it) for it in outcomes if it.verdict is Verdict.NOT_TRIED]
    assert not untried, "\n".join(untried)


@pytest.mark.usefixtures("checks")
def test_an_oci_manifest_breaks_i01(engine: Engine, tmp_path: Path) -> None:
    """As buildx leaves it in a registry with its defaults; the same image as Docker's passes."""
    try:
        with registry.running(tmp_path) as host:
            verdicts = {}
            for tag in ("docker", "oci"):
                name = _pushed(host, tag)
                image = open_image(engine, name)
                wanted = [it for it in catalogue("image") if it.id == "I01"]
                (verdicts[tag],) = check(image, wanted)
                subprocess.run(["docker", "rmi", name], check=True, capture_output=True)
    except registry.NoRegistryError as error:
        pytest.skip(str(error))
    assert verdicts["docker"].verdict is Verdict.PASS, row(verdicts["docker"])
    assert verdicts["oci"].verdict is Verdict.FAIL
    assert "an OCI manifest" in verdicts["oci"].cause


def _pushed(host: str, tag: str) -> str:
    """The good image in the registry, under a manifest of this kind, and pulled from there."""
    name = f"{host}/byoc-small:{tag}"
    for words in (["tag", GOOD, name], ["push", "--quiet", name]):
        subprocess.run(["docker", *words], check=True, capture_output=True)
    if tag == "oci":
        _replace_manifest(host, tag)
        for words in (["rmi", name], ["pull", "--quiet", name]):
            subprocess.run(["docker", *words], check=True, capture_output=True)
    return name


def _replace_manifest(host: str, tag: str) -> None:
    found = read_manifest(host, "byoc-small", tag)
    assert found is not None
    kind = next(it for it in KINDS if it.endswith("oci.image.manifest.v1+json"))
    body = {**found.body, "mediaType": kind}
    body["config"] = {**body["config"], "mediaType": "application/vnd.oci.image.config.v1+json"}
    layer = "application/vnd.oci.image.layer.v1.tar+gzip"
    body["layers"] = [{**it, "mediaType": layer} for it in body["layers"]]
    with requests.Session() as session:
        session.trust_env = False
        reply = session.put(
            f"http://{host}/v2/byoc-small/manifests/{tag}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": kind},
            timeout=10,
        )
    assert reply.status_code == 201, reply.text
