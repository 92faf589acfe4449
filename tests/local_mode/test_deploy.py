"""`byoc deploy`, `predict`, `endpoints` and `down` with `--where process`: the real `serve`."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tunings import LONG

from byoc.launch import programs
from byoc.launch.endpoints import predict
from byoc.launch.local import engine_fault
from byoc.launch.runtime import LocalRuntime
from tiny_model import write_tiny_model

BYOC = str(Path(sys.executable).with_name("byoc"))
pytestmark = pytest.mark.skipif(
    bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two models, told apart by their labels, and one that is none."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("old", "new"):
        write_tiny_model(folder / name, {0: f"{name}-0", 1: f"{name}-1"})
    (folder / "broken").mkdir()
    (folder / "broken" / "README").write_text("no model")
    for name in ("old", "new", "broken"):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as tar:
            tar.add(folder / name, ".")
    yield folder
    byoc(folder, "down", "--yes", "cola")


@pytest.fixture(autouse=True)
def _state(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def byoc(place: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BYOC, *words], cwd=place, input=stdin, capture_output=True, text=True, timeout=240
    )


def deploy(place: Path, model: str) -> subprocess.CompletedProcess[str]:
    return byoc(place, "deploy", f"{model}.tar.gz", "--name", "cola")


@pytest.fixture(scope="module")
def deployed(place: Path) -> subprocess.CompletedProcess[str]:
    return deploy(place, "old")


def labels(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["label"] for line in done.stdout.splitlines()]


def test_an_endpoint_outlives_its_command(
    place: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    assert deployed.returncode == 0, deployed.stderr
    assert "/invocations" in deployed.stdout
    told = labels(byoc(place, "predict", "--endpoint", "cola", "--format", "json", "a dog", "a"))
    assert [it.split("-")[0] for it in told] == ["old", "old"]
    listed = byoc(place, "endpoints", "list").stdout
    assert "cola" in listed
    assert "InService" in listed
    again = deploy(place, "old")
    assert again.returncode == 0
    assert "serves this already" in again.stderr


def test_answers_come_in_the_order_of_the_texts(
    place: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    texts = [" ".join(["the dog sees a cat"] * (number % 7 + 1)) for number in range(150)]
    (place / "texts.csv").write_text(
        "id,sentence\n" + "".join(f"{n},{t}\n" for n, t in enumerate(texts))
    )
    words = ("predict", "--endpoint", "cola", "--file", "texts.csv")
    done = byoc(place, *words, "--format", "csv", "--concurrency", "4")
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert rows[0] == ["text", "label", "score"]
    assert [row[0] for row in rows[1:]] == texts
    assert len({(row[0], row[1]) for row in rows[1:]}) == len(set(texts))
    read = byoc(place, "predict", "--endpoint", "cola", "-", stdin="a dog\na cat\n")
    assert read.stdout.count("old-") == 2


def test_an_update_loses_no_request(
    place: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    told: list[str] = []
    faults: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                told.append(predict(LocalRuntime(), "cola", ["a dog"])[0].label.split("-")[0])
            except Exception as error:
                faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    done = deploy(place, "new")
    over.set()
    for thread in threads:
        thread.join()
    assert done.returncode == 0, done.stderr
    assert not faults
    assert {"old", "new"} == set(told)
    after = labels(byoc(place, "predict", "--endpoint", "cola", "--format", "json", "a dog"))
    assert after[0].startswith("new")
    assert len(list((place / "out/state/models").iterdir())) == 1


def test_a_model_that_cannot_be_served_changes_nothing(
    place: Path, deployed: subprocess.CompletedProcess[str]
) -> None:
    before = byoc(place, "predict", "--endpoint", "cola", "--format", "json", "a dog").stdout
    done = deploy(place, "broken")
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert "serves what it did before" in done.stderr
    after = byoc(place, "predict", "--endpoint", "cola", "--format", "json", "a dog").stdout
    assert after == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--serverless", "2048"], "--serverless is SageMaker's own"),
        (["--async", "s3://b/answers"], "--async is SageMaker's own"),
        (["--max-instances", "2", "--invocations-per-instance", "9"], "--max-instances is"),
        (["--subnets", "subnet-1"], "--security-groups"),
        (["--max-instances", "2"], "--max-instances is"),
    ],
)
def test_what_this_machine_lacks_is_refused(place: Path, words: list[str], said: str) -> None:
    done = byoc(place, "deploy", "old.tar.gz", "--name", "other", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (place / "out/state/endpoints/other").exists()


def test_down_leaves_nothing(place: Path, deployed: subprocess.CompletedProcess[str]) -> None:
    asked = byoc(place, "down", "cola", stdin="n\n")
    assert asked.returncode == 130
    assert "endpoint cola" in asked.stdout
    done = byoc(place, "down", "cola", "--yes")
    assert done.returncode == 0, done.stderr
    assert not list((place / "out/state").glob("*/*"))
    again = byoc(place, "down", "cola", "--yes")
    assert again.returncode == 1
    assert "there is nothing named cola" in again.stderr


@pytest.mark.skipif(not LONG, reason="three containers: make test-local-mode")
def test_the_same_in_containers(place: Path) -> None:
    """The real image in SageMaker local mode: deploy, ask, update, down."""
    fault = engine_fault()
    if fault:
        pytest.skip(f"no Docker engine: {fault}")
    local = ("--where", "local")
    try:
        for model in ("old", "new"):
            done = byoc(place, "deploy", f"{model}.tar.gz", "--name", "boxed", *local)
            assert done.returncode == 0, done.stderr
            words = ("predict", *local, "--endpoint", "boxed", "--format", "json", "a dog")
            assert labels(byoc(place, *words))[0].startswith(model)
    finally:
        down = byoc(place, "down", "boxed", "--yes", *local)
    assert down.returncode == 0, down.stderr
    assert not list((place / "out/state/endpoints").glob("*boxed*"))
