"""`byoc data explore`: its numbers, its page and its summary."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from browser import Browser
from byoc import cli
from byoc.corpus import generate, write_corpus
from byoc.data.explore import characters
from byoc.data.explore.drift import kolmogorov_smirnov, variation
from byoc.data.explore.page import render
from byoc.data.explore.survey import Options, explore
from byoc.data.explore.words import Vocabulary, distance, unseen
from byoc.launch.errors import LaunchError

CAPTURE = pytest.CaptureFixture[str]
NASTY = "<script>alert(1)</script> & [red]\u202eevil\x1b[31m"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, as far as exploring needs a model."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("model") / "encoder"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz.'"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "##s", *letters]
    pieces += [f"##{letter}" for letter in letters if letter != "s"]
    backend = Tokenizer(
        models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    backend.enable_truncation(8)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"max_position_embeddings": 64}')
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, size=1200)
    return folder


def write(path: Path, rows: list[tuple[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"sentence": text, "label": label}) for text, label in rows]
    path.write_text("\n".join(lines))
    return path


def test_lengths_are_those_of_the_tokenizer_uncut(corpus: Path, model: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    train, _ = generate(size=1200)
    lengths = np.array([len(tokenizer.encode(example.sentence)) for example in train])
    found = explore(str(corpus), Options(model=str(model)))["lengths"]["train"]
    pieces = found["pieces"]
    assert pieces["mean"] == pytest.approx(lengths.mean())
    assert pieces["longest"] == lengths.max()
    assert pieces["percentiles"]["50"] == np.percentile(lengths, 50, method="inverted_cdf")
    assert pieces["cut"]["32"] == (lengths > 32).mean() > 0
    assert sum(pieces["histogram"]["counts"]) == len(train)
    assert found["characters"]["longest"] == max(len(example.sentence) for example in train)
    assert found["words"]["shortest"] == min(len(example.sentence.split()) for example in train)


def test_labels_duplicates_and_conflicts_are_counted(tmp_path: Path) -> None:
    rows: list[tuple[str, object]] = [(f"text {n}", n % 2) for n in range(20)]
    rows += [("text 3", 1), ("TEXT 3", 1), ("text  4", 1)]
    source = write(tmp_path / "data/train.jsonl", rows)
    write(tmp_path / "data/dev.jsonl", [("text 5", 1), ("new", 0)])
    found = explore(str(source.parent))
    assert found["labels"] == {"train": {"0": 10, "1": 13}, "validation": {"0": 1, "1": 1}}
    duplicates = found["duplicates"]
    assert (duplicates["exact"], duplicates["normalised"]) == (2, 4)
    assert duplicates["conflicting"] == {"texts": 1, "rows": 2}
    assert duplicates["across"] == {"train and validation": {"exact": 1, "normalised": 1}}
    (conflict,) = duplicates["conflicts"]
    assert conflict == {"text": "text 4", "rows": 2, "labels": {"0": 1, "1": 1}}
    assert duplicates["repeated"][0] == {"text": "text 3", "rows": 3, "labels": {"1": 3}}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("zero\u200bwidth", characters.INVISIBLE),
        ("bell\x07", characters.CONTROL),
        ("two\nlines", characters.BREAKS),
        ("lost \ufffd byte", characters.REPLACEMENT),
        ("no\u00a0break", characters.SPACES),
        ("two  spaces", characters.LOOSE),
        ("end ", characters.LOOSE),
        ("Tom &amp; Jerry", characters.MARKUP),
        ("a<br/>b", characters.MARKUP),
        ("caf\u00c3\u00a9", characters.MOJIBAKE),
        ("cafe\u0301", characters.DECOMPOSED),
        ("\ue000", characters.PRIVATE),
    ],
)
def test_odd_characters_are_named(text: str, kind: str) -> None:
    odd = characters.Odd()
    odd.add(["Plain, caf\u00e9 & 1 < 2: \u4e2d\u6587!", text], "train", [7, 8])
    (found,) = odd.report()
    assert (found["kind"], found["rows"]) == (kind, 1)
    assert found["examples"][0]["line"] == 8
    assert found["examples"][0]["text"].isprintable()


def test_drift_is_told_where_there_is_some_and_not_where_there_is_none(tmp_path: Path) -> None:
    random = Random(0)
    words = [f"w{n}" for n in range(300)]

    def rows(count: int, length: int, share: float) -> list[tuple[str, object]]:
        return [
            (
                " ".join(random.choices(words, k=random.randint(2, length))),
                int(random.random() < share),
            )
            for _ in range(count)
        ]

    write(tmp_path / "data/train.jsonl", rows(4000, 12, 0.7))
    write(tmp_path / "data/dev.jsonl", rows(400, 12, 0.7))
    words = [f"v{n}" for n in range(300)]
    write(tmp_path / "data/test.jsonl", rows(400, 30, 0.4))
    found = explore(str(tmp_path / "data"))["drift"]
    assert [row["notable"] for row in found["validation"]] == [False] * 4
    assert [row["notable"] for row in found["test"]] == [True] * 4


def test_the_measures_of_drift_are_those_that_they_are_named_after() -> None:
    assert variation(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(0.25)
    assert kolmogorov_smirnov(np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])) == pytest.approx(0.5)
    one, other = Vocabulary(), Vocabulary()
    one.add(["a", "a", "b"])
    other.add(["c", "d"])
    assert distance(one, one) == 0
    assert distance(one, other) == pytest.approx(1)
    assert unseen(other, one) == 1
    other.add(["a", "a"])
    assert unseen(other, one) == 0.5


def test_without_a_model_it_says_so(corpus: Path, tmp_path: Path, capsys: CAPTURE) -> None:
    page = tmp_path / "page.html"
    assert cli.run(["data", "explore", str(corpus), "--output", str(page)]) == 0
    assert "not counted, as no --model was given" in capsys.readouterr().out
    assert "no --model was given" in page.read_text()


def test_a_learned_vocabulary_is_that_of_training(corpus: Path) -> None:
    from byoc.training.scratch import learn_tokenizer

    train, _ = generate(size=1200)
    texts = [example.sentence for example in train]
    tokenizer = learn_tokenizer(texts)
    found = explore(str(corpus), Options(model="scratch"))["lengths"]["train"]["pieces"]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    assert found["mean"] == pytest.approx(np.mean(lengths))


def test_json_is_all_of_stdout(corpus: Path, model: Path, tmp_path: Path, capsys: CAPTURE) -> None:
    command = ["data", "explore", str(corpus), "--model", str(model), "--json"]
    assert cli.run([*command, "--output", str(tmp_path / "page.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == {"train": 1080, "validation": 120}
    assert found["pieces"] == {"of": "encoder", "limit": 64}
    assert found["suggestion"]["max_length"] in (48, 64)
    assert found["suggestion"]["batch_size"] == 16


def nasty(folder: Path) -> Path:
    rows: list[tuple[str, object]] = [(f"{NASTY} {n % 7}", n % 2) for n in range(40)]
    rows += [("x" * 5000, 1), ("y", 0)]
    write(folder / "train.jsonl", rows)
    write(folder / "dev.jsonl", [(f"{NASTY} {n}", NASTY) for n in range(9)] + [("z", 0)])
    return folder


def test_hostile_texts_stay_texts(tmp_path: Path, capsys: CAPTURE) -> None:
    page = tmp_path / "page.html"
    assert cli.run(["data", "explore", str(nasty(tmp_path / "data")), "--output", str(page)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "alert(1)" not in page.read_text().replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")


def test_wrong_models_are_one_line(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LaunchError, match=r"has no tokenizer\.json"):
        explore(str(corpus), Options(model=str(tmp_path / "empty")))
    (tmp_path / "empty/tokenizer.json").write_text("{")
    with pytest.raises(LaunchError, match="cannot read the tokenizer"):
        explore(str(corpus), Options(model=str(tmp_path / "empty")))
    with pytest.raises(LaunchError, match="there is no folder"):
        explore(str(corpus), Options(model="./nowhere"))


def test_many_rows_take_bounded_work_and_memory(model: Path) -> None:
    """The short form of `make bench-data`. By the CPU's seconds: tests run beside other work."""
    command = [sys.executable, "-m", "byoc.bench.data", "--rows", "20000"]
    command += ["--model", str(model), "--seconds", "3600"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20,000 rows" in done.stdout
    seconds = re.search(r"([0-9.]+) s of CPU", done.stdout)
    assert seconds
    assert float(seconds[1]) < 20


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield found
    found.close()


def test_the_page_fits_a_phone_and_a_wide_screen(
    browser: Browser, model: Path, tmp_path: Path
) -> None:
    report: dict[str, Any] = explore(str(nasty(tmp_path / "data")), Options(model=str(model)))
    page = tmp_path / "page.html"
    page.write_text(render(report), encoding="utf-8")
    for width in (400, 1600):
        browser.open(page, width)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.complaints() == []
        assert [url for url in browser.requests() if not url.startswith(("file:", "data:"))] == []
        assert browser.value("document.querySelectorAll('figure.plot').length") >= 4
        assert len(browser.screenshot(tmp_path / f"{width}.png")) > 10_000
