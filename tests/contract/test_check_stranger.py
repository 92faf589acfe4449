"""`byoc check` on images that nobody told it anything of: what it finds out, tries and leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import broken
import pytest
from broken import GOOD

from byoc import cli
from byoc.conformance.engine import Engine

PROMISES = {"I01", "I02"}
"""What can be judged of any image, whatever it needs."""


@pytest.fixture(scope="module", autouse=True)
def _images(engine: Engine) -> Iterator[None]:
    broken.build_good()
    yield
    broken.remove()


def checked(folder: Path, image: str, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the clauses of the JSON by id."""
    report = folder / "rows.json"
    code = cli.run(["check", image, "--json", str(report), *words])
    found = json.loads(report.read_text(encoding="utf-8"))
    return code, {it["id"]: it for it in found["clauses"]}


def verdicts(clauses: dict[str, Any], verdict: str) -> set[str]:
    return {name for name, it in clauses.items() if it["verdict"] == verdict}


def test_nothing_but_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good image that wants data and a model: nothing fails, and each row says what it lacks."""
    code, clauses = checked(tmp_path, GOOD)
    assert code == 0
    told = capsys.readouterr()
    assert "training: the program /usr/local/bin/train" in told.err
    assert "serving: the program /usr/local/bin/serve" in told.err
    assert len(clauses) == 45
    assert verdicts(clauses, "fail") == set()
    # An empty channel is sent: it must be refused as a failure.
    assert {*PROMISES, "T10", "M01"} <= verdicts(clauses, "pass")
    untried = {name: clauses[name]["seen"] for name in verdicts(clauses, "not tried")}
    assert untried["T01"].startswith("no --channel given, and with an empty one: exit 1")
    assert untried["H05"].startswith("no --model given, and without one: the container ended")
    assert all(untried.values())


def test_with_what_the_image_wants_the_rest_is_tried(tmp_path: Path) -> None:
    data, model, payload = tmp_path / "training", tmp_path / "model.json", tmp_path / "payload"
    data.mkdir()
    (data / "rows.tsv").write_text("x\ty\n" + "".join(f"{x}\t{3 * x}\n" for x in range(20)))
    model.write_text('{"factor": 2.0}')
    payload.write_text("1\n3\n")
    (tmp_path / "hyperparameters.json").write_text('{"epochs": 1, "rate": "0.01"}')
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(model, "model.json")
    words = ["--channel", f"training={data}", "--model", str(tmp_path / "model.tar.gz")]
    words += ["--payload", str(payload), "--content-type", "text/csv"]
    words += ["--hyperparameters", str(tmp_path / "hyperparameters.json")]
    words += ["--junit", str(tmp_path / "rows.xml"), "--html", str(tmp_path / "rows.html")]
    only = "T01,T05,T09,T14,H01,H05,H12,B01,B02"
    code, clauses = checked(tmp_path, GOOD, *words, "--only", only)
    assert verdicts(clauses, "pass") == set(only.split(",")), clauses
    assert code == 0
    # A line that is none, between the two of the payload, got an error in its place.
    assert 'the middle one b\'{"error": "no number"}\'' in clauses["B02"]["seen"]
    (suite,) = ElementTree.parse(tmp_path / "rows.xml").getroot()
    assert suite.get("tests") == "9"
    assert (tmp_path / "rows.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_variable_of_the_users_reaches_its_containers(tmp_path: Path) -> None:
    words = ["--env", "BREAKS=no-failure-file", "--only", "T10"]
    code, clauses = checked(tmp_path, GOOD, *words)
    assert code == 1
    assert "but no output/failure" in clauses["T10"]["cause"]


@pytest.mark.parametrize(("breaks", "code"), [("", 0), ("no-failure-file", 1)])
def test_as_tests(breaks: str, code: int) -> None:
    """`pytest --pyargs byoc.conformance`: what was not tried is a skip with its reason."""
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-rs", "--pyargs", "byoc.conformance"]
    words += ["--image", GOOD, "--image-env", f"BREAKS={breaks}", "-k", "I02 or T01 or T10"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd="/")
    assert done.returncode == code, done.stdout
    assert "not tried: no --channel given, and with an empty one" in done.stdout
    passed, failed = ("2 passed", "") if code == 0 else ("1 passed", "1 failed")
    assert passed in done.stdout
    assert failed in done.stdout
    if failed:
        assert "remedy: catch everything" in done.stdout


def test_a_fault_is_found_with_nothing_but_the_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits 0, as if an empty channel were enough, but leaves an output/failure."""
    image = broken.build(broken.by_name("training", "fails-with-0"))
    code, clauses = checked(tmp_path, image, "--training", "--only", "T10,I02")
    assert code == 1
    assert verdicts(clauses, "fail") == {"T10"}
    assert clauses["T10"]["cause"] == "success left an output/failure"
    out = capsys.readouterr().out
    assert "remedy: catch everything" in out
    assert "AWS: How Amazon SageMaker AI signals" in out


def test_an_image_that_does_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare base image: both parts are tried, and what says that it does neither is a fail."""
    base = subprocess.run(
        [broken.ROOT / "docker/base.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    code, clauses = checked(tmp_path, base, "--skip", "I01")
    assert code == 1
    assert "nothing tells what this image is for: both parts are tried" in capsys.readouterr().err
    failed = verdicts(clauses, "fail")
    assert {"T01", "H01"} <= failed
    assert all("cannot start" in clauses[name]["cause"] for name in failed), clauses
    # Found from labels: it makes no claim to hold several models.
    assert {"M01", "M02", "M03", "M04", "M05", "M06"} <= verdicts(clauses, "not applicable")
