"""`byoc transform` end to end: 100,000 lines as child processes and in SageMaker local mode."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from containers import containers_of

from byoc.commands.common import SERVING_IMAGE
from byoc.launch import local, programs
from byoc.launch.errors import LaunchError
from tiny_model import write_tiny_model

BYOC = str(Path(sys.executable).with_name("byoc"))
LINES = 100_000
WORDS = ("a", "the", "dog", "cat", "sees", "sleeps")


def text(number: int) -> str:
    """A text of its own for each number below some 46,000: a change of order would show."""
    found = []
    while number:
        number, rest = divmod(number, len(WORDS))
        found.append(WORDS[rest])
    return " ".join(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transform")
    write_tiny_model(folder / "model")
    subprocess.run(["tar", "czf", "model.tar.gz", "-C", "model", "."], cwd=folder, check=True)
    lines = [text(number % 40_000) for number in range(LINES)]
    lines[100], lines[101], lines[70_000] = '"not closed', "one, two", '"no'
    lines[102] = '"quoted, ""twice"""'
    (folder / "in.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


def run_byoc(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BYOC, "transform", "--model-data", "model.tar.gz", *arguments]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=300, check=False
    )


def skip_without_image() -> None:
    cause = local.engine_fault()
    if cause:
        pytest.skip(f"no Docker engine: {cause}")
    try:
        local.need_image(SERVING_IMAGE)
    except LaunchError as error:
        pytest.skip(str(error))


def expected(place: Path) -> list[float]:
    """For some lines, the score that the model gives them, alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(place / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(place / "model")
    with torch.inference_mode():
        return [
            float(model(**tokenizer(line, return_tensors="pt")).logits.softmax(-1).max())
            for line in (text(number % 40_000) for number in range(0, LINES, 997))
        ]


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
@pytest.mark.parametrize("where", ["process", "local"])
def test_line_by_line(place: Path, where: str) -> None:
    if where == "local":
        skip_without_image()
    done = run_byoc(place, "--where", where, "--input", "in.csv", "--output", where)
    assert done.returncode == 0, done.stdout + done.stderr
    with (place / where / "in.csv.out").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == LINES
    bad = [number for number, row in enumerate(rows) if row[0] == ""]
    assert bad == [100, 101, 70_000]
    assert "double quotes" in rows[101][2]
    assert where != "local" or not containers_of(place)
    scores = [float(rows[number][1]) for number in range(0, LINES, 997)]
    assert scores == pytest.approx(expected(place), abs=0.02)  # the default kernel may be int8


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_joined_json_lines_of_a_folder(place: Path) -> None:
    folder = place / "lines/deep"
    folder.mkdir(parents=True)
    texts: list[Any] = [{"text": "the dog", "id": 7}, {"text": "a cat"}, "sees", 3]
    (folder / "a.jsonl").write_text("".join(json.dumps(it) + "\n" for it in texts))
    (place / "lines/b.jsonl").write_text('"a dog"')
    done = run_byoc(
        place, "--input", "lines", "--output", "joined", "--join", "--strategy", "SingleRecord"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in (place / "joined/deep/a.jsonl.out").open()]
    assert "unknown key" in found[0]["SageMakerOutput"]["error"]
    assert found[0]["id"] == 7
    assert found[1]["SageMakerOutput"]["label"]
    assert found[2]["SageMakerInput"] == "sees"
    assert "must be a string" in found[3]["SageMakerOutput"]["error"]
    assert len((place / "joined/b.jsonl.out").read_text().splitlines()) == 1


@pytest.mark.skipif(bool(programs.missing()), reason=f"not on PATH: {list(programs.missing())}")
def test_a_form_that_is_not_taken_fails_the_job(place: Path) -> None:
    done = run_byoc(place, "--input", "in.csv", "--content-type", "application/x-npy")
    assert done.returncode == 1
    assert "415" in done.stderr
    assert not (place / "out/transform/in.csv.out").exists()
