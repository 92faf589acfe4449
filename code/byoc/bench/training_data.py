"""What the training benchmarks train on: real sentences, and an encoder of DistilBERT's size."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.corpus import write_corpus
from byoc.training.config import parse_hyperparameters
from byoc.training.prepare import Prepared, prepare
from byoc.training.readers import Columns
from byoc.training.sources import read_splits
from byoc.training.tables import Table, read_channel

SEED = 0
VOCABULARY = 30_522
"""DistilBERT's, also where the tokenizer that is at hand knows fewer words."""


@dataclass(frozen=True)
class Source:
    """Folders with a table each; ``told``: what the figures are of."""

    train: Path
    validation: Path
    told: str


def find(data: Path, scratch: Path) -> Source:
    """CoLA's two files in ``data`` (in_domain_train.tsv, in_domain_dev.tsv), else the embedded
    corpus, written to ``scratch``."""
    names = {"train": "in_domain_train.tsv", "validation": "in_domain_dev.tsv"}
    folders = {split: scratch / "corpus" / split for split in names}
    if not all((data / name).is_file() for name in names.values()):
        write_corpus(scratch / "corpus")
        return Source(**folders, told=f"the embedded corpus: there is no CoLA in {data}")
    for split, name in names.items():
        folders[split].mkdir(parents=True, exist_ok=True)
        shutil.copy(data / name, folders[split])
    return Source(**folders, told="CoLA: in_domain_train, in_domain_dev")


def table(folder: Path) -> Table:
    return read_channel(folder, Columns("sentence", "label"))


def repeat(folder: Path, rows: int, target: Path) -> None:
    """A channel of ``rows`` rows: those in ``folder``, over and over."""
    write_table(target, ((row.text, row.label) for row in _endless(folder, rows)))


def _endless(folder: Path, rows: int) -> Iterator[Any]:
    return islice(cycle(table(folder).rows()), rows)


def write_table(target: Path, rows: Iterator[tuple[str, str]]) -> None:
    """(text, label) as TARGET/rows.tsv."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "rows.tsv").open("w", encoding="utf-8") as stream:
        stream.write("sentence\tlabel\n")
        stream.writelines(f"{text}\t{label}\n" for text, label in rows)


def write_encoder(target: Path, source: Source, tokenizer_folder: Path | None) -> None:
    """DistilBERT with random weights of a fixed seed, and a WordPiece tokenizer: that of
    ``tokenizer_folder``, else one learned from the training texts."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

    if tokenizer_folder is not None:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    else:
        from byoc.training.scratch import learn_tokenizer

        tokenizer = learn_tokenizer(row.text for row in table(source.train).rows())
    torch.manual_seed(SEED)
    model = DistilBertForSequenceClassification(DistilBertConfig(vocab_size=VOCABULARY))
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def lay_out(
    root: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str] | None = None
) -> Path:
    """A job's tree with ``channels`` copied into it (hard links where that is possible)."""
    for folder in ("input/config", "model", "output/data"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in channels.items():
        shutil.copytree(content, root / "input/data" / name, copy_function=_link)
    path = root / "input/config/hyperparameters.json"
    path.write_text(json.dumps(dict(hyperparameters or {})), encoding="utf-8")
    return root


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


@contextmanager
def base_dir(root: Path) -> Iterator[None]:
    """``root`` stands for /opt/ml."""
    before = os.environ.get(contract.BASE_DIR_VARIABLE)
    os.environ[contract.BASE_DIR_VARIABLE] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ[contract.BASE_DIR_VARIABLE]
        else:
            os.environ[contract.BASE_DIR_VARIABLE] = before


def prepared(root: Path, channels: Mapping[str, Path], hyperparameters: dict[str, str]) -> Prepared:
    """The job as `train` prepares it: read, split, tokenized."""
    config = parse_hyperparameters(hyperparameters)
    with base_dir(lay_out(root, channels, hyperparameters)):
        return prepare(config, read_splits(config), root / "prepared")
