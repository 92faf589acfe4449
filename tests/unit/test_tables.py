"""Reading channels: forms of files, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from byoc.training.faults import TrainingFault
from byoc.training.tables import Columns, Table, check_labels, label_set, read_channel, split

COLUMNS = Columns("sentence", "label")


def channel(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    folder = tmp_path / "train"
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def fault(folder: Path) -> str:
    with pytest.raises(TrainingFault) as caught:
        read_channel(folder, COLUMNS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "label\tsentence\n1\tBirds fly.\n0\tFly birds the.\n"),
        ("a.csv", 'sentence,label\n"Birds fly.",1\nFly birds the.,0\n'),
        (
            "a.jsonl",
            '{"sentence": "Birds fly.", "label": 1}\n\n'
            '{"sentence": "Fly birds the.", "label": "0"}',
        ),
        ("a.tsv", "sentence\tlabel\r\nBirds fly.\t1\r\nFly birds the.\t0\r\n"),
        ("a.tsv", "\ufeffsentence\tlabel\nBirds fly.\t1\nFly birds the.\t0\n"),
    ],
    ids=["tsv", "csv", "jsonl", "crlf", "byte-order mark"],
)
def test_forms(tmp_path: Path, name: str, content: str) -> None:
    found = read_channel(channel(tmp_path, {name: content}), COLUMNS)
    assert found == Table(["Birds fly.", "Fly birds the."], ["1", "0"])


@pytest.mark.parametrize("labels", [[1, 0], ["1", "0"], [1.0, 0.0]])
def test_parquet(tmp_path: Path, labels: list[object]) -> None:
    folder = channel(tmp_path, {})
    table = pyarrow.table({"label": labels, "sentence": ["a b", "b a"], "more": [1, 2]})
    parquet.write_table(table, folder / "a.parquet")
    assert read_channel(folder, COLUMNS) == Table(["a b", "b a"], ["1", "0"])


def test_raw_cola_has_no_header(tmp_path: Path) -> None:
    folder = channel(tmp_path, {"a.tsv": "x1\t1\t\tBirds fly.\nx1\t0\t*\tFly birds the.\n"})
    assert read_channel(folder, COLUMNS) == Table(
        ["Birds fly.", "Fly birds the."], ["1", "0"], is_raw_cola=True
    )


def test_quotes_are_literal_in_tsv(tmp_path: Path) -> None:
    folder = channel(tmp_path, {"a.tsv": 'sentence\tlabel\n"Yes, said\t1\nShe said "no\t0\n'})
    assert read_channel(folder, COLUMNS).texts == ['"Yes, said', 'She said "no']


@pytest.mark.parametrize("separator", ["\u2028", "\x0c", "\x85"])
@pytest.mark.parametrize("header", [True, False])
def test_only_newlines_end_a_line(tmp_path: Path, separator: str, header: bool) -> None:
    row = f"a{separator}b\t1\n" if header else f"x\t1\t\ta{separator}b\n"
    folder = channel(tmp_path, {"a.tsv": ("sentence\tlabel\n" if header else "") + row})
    assert read_channel(folder, COLUMNS).texts == [f"a{separator}b"]


def test_files_are_read_in_order_from_nested_folders(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "b/2.csv": "sentence,label\nthird,1\n",
        "a.tsv": "sentence\tlabel\nfirst\t1\n",
        "b/1.jsonl": '{"sentence": "second", "label": 0}',
        "README.md": "not a table",
        "_SUCCESS": "",
        ".hidden.csv": "nothing",
    }
    assert read_channel(channel(tmp_path, files), COLUMNS).texts == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.tsv", "", "a.tsv is empty"),
        ("a.csv", " \n", "a.csv is empty"),
        ("a.csv", "sentence,label\n", "a.csv has a header but no rows"),
        ("a.csv", "text,label\nx,1\n", "has no column 'sentence'; there are text, label"),
        ("a.jsonl", '{"sentence": "x"}', "has no column 'label'; there are sentence"),
        ("a.tsv", b"sentence\tlabel\nx\t1\n\xe9\t0\n", "a.tsv, line 3: not UTF-8 (byte 0xe9)"),
        ("a.tsv", "sentence\tlabel\nx\t1\ny\n", "a.tsv, line 3: the label is missing"),
        ("a.csv", "sentence,label\nx,\n", "a.csv, line 2: the label is missing"),
        ("a.csv", "sentence,label\n,1\n", "a.csv, line 2: the text is empty"),
        ("a.jsonl", '{"sentence": "x", "label": null}', "line 1: the label is missing"),
        ("a.jsonl", '{"sentence": "x", "label": 1}\n{', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", "[1]", "a.jsonl, line 1: not a JSON object"),
        ("a.csv", 'sentence,label\n"x,1\n', "not CSV"),
        ("a.parquet", "PAR1 is not enough", "is not a parquet file"),
        ("a.tsv", "x\t1\t\tfine\nx\t1\n", "a.tsv, line 2: 2 columns where CoLA's raw form has 4"),
        ("a.txt", "x", "channel train holds no table"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    assert told in fault(channel(tmp_path, {name: content}))


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path / "train").startswith("channel train is missing")


def test_labels_are_ordered_by_number_else_by_name() -> None:
    assert label_set(["10", "9", "10"]) == ["9", "10"]
    assert label_set(["b", "a", "10"]) == ["10", "a", "b"]


def test_one_class_is_not_enough() -> None:
    with pytest.raises(TrainingFault, match="one class only, '1' in all 2 rows"):
        check_labels(Table(["a", "b"], ["1", "1"]), {})


def test_validation_must_not_have_labels_of_its_own() -> None:
    train = Table(["a", "b", "c"], ["0", "1", "1"])
    with pytest.raises(TrainingFault, match=r"channel validation has labels .*: '2'; train has"):
        check_labels(train, {"validation": Table(["c"], ["2"])})
    assert check_labels(train, {"validation": Table(["c"], ["1"])}) == ["0", "1"]


def test_a_column_of_distinct_values_is_no_label_column() -> None:
    with pytest.raises(TrainingFault, match="is label-column the right one"):
        check_labels(Table(["a", "b", "c"], ["x", "y", "z"]), {})


def test_split_is_stratified_seeded_and_complete() -> None:
    table = Table([str(row) for row in range(100)], ["0"] * 80 + ["1"] * 20)
    train, validation = split(table, 0.1, seed=1)
    assert (validation.labels.count("0"), validation.labels.count("1")) == (8, 2)
    assert sorted(train.texts + validation.texts) == sorted(table.texts)
    assert split(table, 0.1, seed=1) == (train, validation)
    assert split(table, 0.1, seed=2) != (train, validation)


def test_a_class_of_one_row_cannot_be_split() -> None:
    with pytest.raises(TrainingFault, match="label '1' has one row only"):
        split(Table(["a", "b", "c"], ["0", "0", "1"]), 0.1, seed=0)


def test_json_labels_of_any_plain_type(tmp_path: Path) -> None:
    rows = [{"sentence": "a", "label": value} for value in (True, "yes", 2, 2.0)]
    folder = channel(tmp_path, {"a.jsonl": "\n".join(map(json.dumps, rows))})
    assert read_channel(folder, COLUMNS).labels == ["True", "yes", "2", "2"]
