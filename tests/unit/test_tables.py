"""Reading channels: forms of files, and what is said of broken ones."""

from __future__ import annotations

import json
import tracemalloc
from array import array
from collections import Counter
from itertools import compress
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from byoc.training import readers
from byoc.training.faults import TrainingFault
from byoc.training.readers import Columns
from byoc.training.tables import Table, check_labels, held_out, label_set, read_channel

COLUMNS = Columns("sentence", "label")
PAIRS = Columns("sentence", "label", "second")


def channel(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    folder = tmp_path / "train"
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def rows(folder: Path, columns: Columns = COLUMNS) -> list[tuple[str, str]]:
    """(text, label) of every row."""
    table = read_channel(folder, columns)
    found = [(row.text, row.label) for row in table.rows()]
    assert len(table) == len(found)
    return found


def texts(folder: Path) -> list[str]:
    return [text for text, _ in rows(folder)]


def table_of(labels: list[str], tmp_path: Path) -> Table:
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}" / "train"
    folder.mkdir(parents=True)
    lines = (f"{row}\t{label}\n" for row, label in enumerate(labels))
    (folder / "a.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    return read_channel(folder, COLUMNS)


def fault(folder: Path, columns: Columns = COLUMNS) -> str:
    with pytest.raises(TrainingFault) as caught:
        read_channel(folder, columns)
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
    assert rows(channel(tmp_path, {name: content})) == [
        ("Birds fly.", "1"),
        ("Fly birds the.", "0"),
    ]


@pytest.mark.parametrize("labels", [[1, 0], ["1", "0"], [1.0, 0.0]])
def test_parquet(tmp_path: Path, labels: list[object]) -> None:
    folder = channel(tmp_path, {})
    table = pyarrow.table({"label": labels, "sentence": ["a b", "b a"], "more": [1, 2]})
    parquet.write_table(table, folder / "a.parquet")
    assert rows(folder) == [("a b", "1"), ("b a", "0")]


def test_raw_cola_has_no_header(tmp_path: Path) -> None:
    folder = channel(tmp_path, {"a.tsv": "x1\t1\t\tBirds fly.\nx1\t0\t*\tFly birds the.\n"})
    assert rows(folder) == [("Birds fly.", "1"), ("Fly birds the.", "0")]
    assert read_channel(folder, COLUMNS).is_raw_cola


def test_quotes_are_literal_in_tsv(tmp_path: Path) -> None:
    folder = channel(tmp_path, {"a.tsv": 'sentence\tlabel\n"Yes, said\t1\nShe said "no\t0\n'})
    assert texts(folder) == ['"Yes, said', 'She said "no']


@pytest.mark.parametrize("separator", ["\u2028", "\x0c", "\x85"])
@pytest.mark.parametrize("header", [True, False])
def test_only_newlines_end_a_line(tmp_path: Path, separator: str, header: bool) -> None:
    row = f"a{separator}b\t1\n" if header else f"x\t1\t\ta{separator}b\n"
    folder = channel(tmp_path, {"a.tsv": ("sentence\tlabel\n" if header else "") + row})
    assert texts(folder) == [f"a{separator}b"]


def test_files_are_read_in_order_from_nested_folders(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "b/2.csv": "sentence,label\nthird,1\n",
        "a.tsv": "sentence\tlabel\nfirst\t1\n",
        "b/1.jsonl": '{"sentence": "second", "label": 0}',
        "README.md": "not a table",
        "_SUCCESS": "",
        ".hidden.csv": "nothing",
    }
    assert texts(channel(tmp_path, files)) == ["first", "second", "third"]


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
    told = fault(tmp_path / "train")
    assert told.startswith("channel train is missing")
    assert told.endswith("add it to the job")


def test_labels_are_ordered_by_number_else_by_name() -> None:
    assert label_set(["10", "9", "10"]) == ["9", "10"]
    assert label_set(["b", "a", "10"]) == ["10", "a", "b"]


def test_a_label_that_is_no_number_for_all_its_spelling() -> None:
    assert label_set(["nan", "2", "1"]) == label_set(["1", "nan", "2"]) == ["1", "2", "nan"]


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingFault, match="one class only, '1' in all 2 rows"):
        check_labels(table_of(["1", "1"], tmp_path), {})


def test_validation_must_not_have_labels_of_its_own(tmp_path: Path) -> None:
    train = table_of(["0", "1", "1"], tmp_path)
    with pytest.raises(TrainingFault, match=r"channel validation has labels .*: '2'; train has"):
        check_labels(train, {"validation": table_of(["2"], tmp_path)})
    assert check_labels(train, {"validation": table_of(["1"], tmp_path)}) == ["0", "1"]


def test_a_column_of_distinct_values_is_no_label_column(tmp_path: Path) -> None:
    with pytest.raises(TrainingFault, match="is label-column the right one"):
        check_labels(table_of(["x", "y", "z"], tmp_path), {})
    with pytest.raises(TrainingFault, match="more than 1000 different labels in its first"):
        table_of([str(row) for row in range(70_000)], tmp_path)


def test_held_out_rows_are_stratified_and_seeded(tmp_path: Path) -> None:
    labels = (["0"] * 4 + ["1"]) * 20
    table = table_of(labels, tmp_path)
    mask = held_out(table, 0.1, seed=1)
    chosen = [label for label, is_out in zip(labels, mask, strict=True) if is_out]
    assert (chosen.count("0"), chosen.count("1")) == (8, 2)
    assert held_out(table, 0.1, seed=1) == mask
    assert held_out(table, 0.1, seed=2) != mask


@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_every_class_is_in_both_parts(sizes: list[int], fraction: float, seed: int) -> None:
    numbers = array("H", [label for label, size in enumerate(sizes) for _ in range(size)])
    table = Table((), COLUMNS, [str(label) for label in range(len(sizes))], numbers, b"")
    out = Counter(compress(numbers, held_out(table, fraction, seed)))
    for label, size in enumerate(sizes):
        assert out[label] == min(size - 1, max(1, round(size * fraction)))


def test_a_class_of_one_row_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(TrainingFault, match="label '1' has one row only"):
        held_out(table_of(["0", "0", "1"], tmp_path), 0.1, seed=0)


PAIRED: dict[str, str | bytes] = {
    "a.tsv": "second\tsentence\tlabel\nb\ta\tyes\n",
    "b.csv": 'sentence,label,second\n"a",yes,"b"\n',
    "c.jsonl": '{"sentence": "a", "second": "b", "label": "yes"}\n',
}


def test_sentence_pairs(tmp_path: Path) -> None:
    folder = channel(tmp_path, PAIRED)
    columns = {"label": ["yes"], "sentence": ["a"], "second": ["b"]}
    parquet.write_table(pyarrow.table(columns), folder / "d.parquet")
    assert list(read_channel(folder, PAIRS).rows()) == [("a", "b", "yes")] * 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "sentence\tlabel\na\t1\n",
            "has no column 'second'; there are sentence, label (set text-p",
        ),
        ("sentence\tlabel\tsecond\na\t1\n", "a.tsv, line 2: the text pair is empty"),
        ("x\t1\t\tfine\n", "has no column 'sentence'"),
    ],
)
def test_broken_pairs_are_named(tmp_path: Path, content: str, told: str) -> None:
    assert told in fault(channel(tmp_path, {"a.tsv": content}), PAIRS)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few rows end a block, as every few thousand do in earnest."""
    monkeypatch.setattr(readers, "BLOCK", 16)
    monkeypatch.setattr(readers, "ROWS", 3)


NUMBERED = [(f"text {row} \u00e9\U0001f600", str(row % 3)) for row in range(50)]


@pytest.mark.parametrize("form", ["tsv", "crlf.tsv", "csv", "jsonl", "parquet", "cola.tsv"])
@pytest.mark.usefixtures("small_blocks")
def test_rows_are_whole_where_blocks_end(tmp_path: Path, form: str) -> None:
    assert rows(channel(tmp_path, {f"a.{form}": written(NUMBERED, form)})) == NUMBERED


def written(found: list[tuple[str, str]], form: str) -> bytes:
    """A file with blank lines in it, where the form has lines."""
    if form == "parquet":
        sink = pyarrow.BufferOutputStream()
        columns = {"label": [label for _, label in found], "sentence": [text for text, _ in found]}
        parquet.write_table(pyarrow.table(columns), sink)
        return bytes(sink.getvalue())
    line = {
        "tsv": "{0}\t{1}\n",
        "crlf.tsv": "{0}\t{1}\r\n",
        "csv": '"{0}",{1}\n',
        "jsonl": '{{"sentence": "{0}", "label": {1}}}\n',
        "cola.tsv": "x\t{1}\t\t{0}\n",
    }[form]
    header = {"tsv": "sentence\tlabel\n", "crlf.tsv": "sentence\tlabel\r\n"}.get(form, "")
    header = "sentence,label\n" if form == "csv" else header
    return (header + "\n".join(line.format(*row) for row in found)).encode()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.tsv", "sentence\tlabel\n" + "some text\t1\n" * 9 + "\n\nx\n", "line 13: the label"),
        ("a.csv", "sentence,label\n" + '"some\ntext",1\n' * 9 + "x,\n", "line 20: the label"),
        ("a.jsonl", '{"sentence": "x", "label": 1}\n' * 9 + "{", "line 10: not JSON"),
        ("a.jsonl", '{"sentence": "\\ud800", "label": 1}\n', "line 1: half of a surrogate pair"),
        ("a.tsv", b"sentence\tlabel\n" + b"text\t1\n" * 9 + b"\xe9\t1\n", "line 11: not UTF-8"),
        ("a.csv", 'sentence,label\n"x"y,1\n', "line 2: not CSV"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_lines_are_counted_over_blocks(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    assert told in fault(channel(tmp_path, {name: content}))


def test_an_endless_line_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "BLOCK", 16)
    monkeypatch.setattr(readers, "LONGEST_LINE", 1 << 20)
    folder = channel(tmp_path, {"a.tsv": "sentence\tlabel\n" + "x" * (2 << 20)})
    assert "a.tsv, line 2: longer than 1 MB" in fault(folder)


def test_the_digest_knows_rows_and_their_order_but_no_files(tmp_path: Path) -> None:
    def digest(name: str, files: dict[str, list[tuple[str, str]]]) -> bytes:
        (tmp_path / name).mkdir()
        content = {file: written(found, file.split(".", 1)[1]) for file, found in files.items()}
        return read_channel(channel(tmp_path / name, {**content}), COLUMNS).digest

    whole = digest("whole", {"a.tsv": NUMBERED})
    assert digest("parts", {"a.jsonl": NUMBERED[:7], "b.csv": NUMBERED[7:]}) == whole
    assert digest("reversed", {"a.tsv": NUMBERED[::-1]}) != whole
    assert digest("moved", {"a.tsv": [("ab", "1"), ("c", "1")]}) != digest(
        "border", {"a.tsv": [("a", "1"), ("bc", "1")]}
    )


def test_a_channel_of_many_files_in_nested_folders(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        f"part{file % 4}/{file:02}/a.jsonl": f'{{"sentence": "{file}", "label": {file % 2}}}'
        for file in range(64)
    }
    assert sorted(map(int, texts(channel(tmp_path, files)))) == list(range(64))


def test_reading_holds_no_file(tmp_path: Path) -> None:
    """Nothing but a few blocks and an index of two bytes a row, whatever the file's size."""
    folder = channel(tmp_path, {})
    with (folder / "a.tsv").open("w") as stream:
        stream.write("sentence\tlabel\n")
        stream.writelines(f"{'some text ' * 20}{row}\t{row % 2}\n" for row in range(100_000))
    tracemalloc.start()
    try:
        table = read_channel(folder, COLUMNS)
        assert sum(1 for _ in table.rows()) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000 < (folder / "a.tsv").stat().st_size
    finally:
        tracemalloc.stop()


def test_json_labels_of_any_plain_type(tmp_path: Path) -> None:
    records = [{"sentence": "a", "label": value} for value in (True, "yes", 2, 2.0)]
    folder = channel(tmp_path, {"a.jsonl": "\n".join(map(json.dumps, records))})
    assert [label for _, label in rows(folder)] == ["True", "yes", "2", "2"]
