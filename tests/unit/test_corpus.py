"""The embedded corpus: what it promises about labels, splits and determinism."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, Example, generate, write_corpus
from byoc.corpus.grammar import CONSTRUCTIONS
from byoc.training.config import parse_hyperparameters

DIGEST_OF_SEED_0 = "8e2f143b464cda41df7947cebadd37bddda86bf74f674d7517185d4509cae4f6"


def digest(examples: list[Example]) -> str:
    text = "\n".join(f"{example.sentence}\t{example.label}" for example in examples)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("binary", [True, False], ids=["presence", "counts"])
def test_words_alone_do_not_tell_the_label(seed: int, binary: bool) -> None:
    train, validation = generate(seed)
    words = CountVectorizer(binary=binary, token_pattern=r"[A-Za-z]+|[.,?]")
    features = words.fit_transform([example.sentence for example in train])
    model = LogisticRegression(max_iter=1000).fit(features, [example.label for example in train])
    predicted = model.predict(words.transform([example.sentence for example in validation]))
    truth = [example.label for example in validation]
    assert matthews_corrcoef(truth, predicted) <= 0.15


def test_no_sentence_and_no_filled_template_stands_in_both_splits() -> None:
    train, validation = generate(0)
    assert not {e.sentence.lower() for e in train} & {e.sentence.lower() for e in validation}
    assert not {e.template for e in train} & {e.template for e in validation}


def test_every_template_is_a_minimal_pair_in_one_split() -> None:
    for split in generate(0, 800):
        labels: dict[str, list[int]] = {}
        for example in split:
            labels.setdefault(example.template, []).append(example.label)
        assert all(sorted(found) == [0, 1] for found in labels.values())


def test_both_splits_hold_every_construction() -> None:
    names = {construction.__name__ for construction in CONSTRUCTIONS}
    for split in generate(0):
        assert {example.template.split()[0] for example in split} == names


def test_no_sentence_is_both_acceptable_and_not() -> None:
    train, validation = generate(3)
    counts = Counter(example.sentence for example in train + validation)
    assert max(counts.values()) == 1


def test_the_same_seed_gives_the_same_corpus_whatever_the_hash_seed() -> None:
    program = (
        "import hashlib; from byoc.corpus import generate;"
        "print(hashlib.sha256('\\n'.join(f'{e.sentence}\\t{e.label}'"
        " for e in generate(0, 600)[0]).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1")
    }
    assert found == {digest(generate(0, 600)[0])}


def test_seed_0_is_the_same_on_every_python_version() -> None:
    """A changed grammar changes this on purpose: then write the new digest here."""
    assert digest(generate(0, 600)[0]) == DIGEST_OF_SEED_0


def test_another_seed_gives_another_corpus() -> None:
    assert digest(generate(0, 200)[0]) != digest(generate(1, 200)[0])


def test_size_counts_the_sentences_of_both_splits() -> None:
    train, validation = generate(0, 400)
    assert (len(train), len(validation)) == (360, 40)


def test_more_than_the_grammar_has_is_refused() -> None:
    with pytest.raises(ValueError, match="ask for fewer"):
        generate(0, 200_000)


def test_files_have_a_header_and_one_row_each(tmp_path: Path) -> None:
    write_corpus(tmp_path, size=100)
    lines = (tmp_path / "validation" / "validation.tsv").read_text().splitlines()
    assert lines[0] == "sentence\tlabel"
    assert len(lines) == 11
    assert {line.split("\t")[1] for line in lines[1:]} == {"0", "1"}
    assert (tmp_path / "train" / "train.tsv").is_file()


def test_the_embedded_hyperparameters_are_valid() -> None:
    config = parse_hyperparameters(EMBEDDED_HYPERPARAMETERS)
    assert config.model_name_or_path == "scratch"
    assert config.label_names == ("unacceptable", "acceptable")


def test_the_corpus_needs_the_standard_library_only() -> None:
    program = (
        "import sys, byoc.corpus; bad = {'torch', 'numpy', 'transformers'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
