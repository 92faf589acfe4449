"""Data sets and models of the Hub, by its own client library, from a Hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from hub import COMMIT, Files, hub

README = b"""---
dataset_info:
  features:
  - name: sentence
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.parquet
  - split: validation
    path: data/validation.parquet
  - split: test
    path: data/test.parquet
---
"""


def run(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the library reads its address as it is imported."""
    code = "import sys; from byoc.cli import run; sys.exit(run(sys.argv[1:]))"
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(folder / "hf")}
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", code, "data", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def table(rows: list[tuple[str, int]]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    columns = {"sentence": [text for text, _ in rows], "label": [label for _, label in rows]}
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


def test_a_data_set_comes_with_its_commit_and_without_hidden_labels(tmp_path: Path) -> None:
    files = {
        "README.md": README,
        "data/train.parquet": table([(f"text {n}", n % 2) for n in range(50)]),
        "data/validation.parquet": table([(f"dev {n}", n % 2) for n in range(10)]),
        "data/test.parquet": table([(f"test {n}", -1) for n in range(10)]),
    }
    with hub({("datasets", "some-body/some-data"): files}) as (url, _):
        done = run(url, tmp_path, "prepare", "some-body/some-data", "out", "--test", "0")
    assert done.returncode == 0, done.stderr
    assert "split test is left out: its labels are not public" in done.stderr
    made = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {split: found["rows"] for split, found in made["splits"].items()} == {
        "train": 50,
        "validation": 10,
    }
    assert made["source"]["revision"] == COMMIT
    assert made["hyperparameters"] == {"label-names": "bad,good"}


ENCODER: Files = {
    name: name.encode()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md", "flax.msgpack")
}


def test_a_model_comes_with_its_commit_and_only_what_a_job_reads(tmp_path: Path) -> None:
    with hub({("models", "some-body/encoder"): ENCODER}) as (url, asked):
        done = run(url, tmp_path, "model", "some-body/encoder", "--output", "here")
    assert done.returncode == 0, done.stderr
    found = {path.name for path in (tmp_path / "here").iterdir()}
    assert found == {"config.json", "tokenizer.json", "model.safetensors", "byoc-model.json"}
    origin = json.loads((tmp_path / "here/byoc-model.json").read_text())
    assert (origin["name"], origin["revision"]) == ("some-body/encoder", COMMIT)
    assert not [path for path in asked if path.endswith("flax.msgpack")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("some-body/pickled", "weights as pickles only (pytorch_model.bin)"),
        ("some-body/nothing", "cannot fetch model some-body/nothing from the Hub"),
    ],
)
def test_models_that_cannot_be_had_are_one_line(tmp_path: Path, name: str, words: str) -> None:
    pickled = {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"danger"}
    with hub({("models", "some-body/pickled"): pickled}) as (url, asked):
        done = run(url, tmp_path, "model", name, "--output", "here")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "here").exists()
    assert not [path for path in asked if path.endswith(".bin")]
