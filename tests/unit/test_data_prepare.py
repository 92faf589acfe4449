"""`byoc data prepare`: splits, duplicates, groups, the manifest, and what goes wrong."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from pyarrow import parquet

from byoc import cli
from byoc.data.prepare import Options, prepare
from byoc.data.texts import normalised
from byoc.launch.errors import LaunchError
from byoc.training.readers import Columns

SPLITS = ("train", "validation", "test")
Row = tuple[str, ...]


def table(path: Path, rows: list[Row], *header: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([header or ("sentence", "label"), *rows])
    return path


def sentences(count: int, seed: int = 0) -> list[Row]:
    """Three labels, of very different sizes."""
    random = Random(seed)
    return [(f"text {number} of {count}", random.choice("aaaaaaabbc")) for number in range(count)]


def rows_of(folder: Path, split: str) -> list[dict[str, str]]:
    return parquet.read_table(folder / split / f"{split}.parquet").to_pylist()


def content(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_same_rows_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    source = table(tmp_path / "all.csv", sentences(500))
    for name in ("one", "two"):
        prepare(str(source), tmp_path / name)
    prepare(str(source), tmp_path / "other", Options(seed=7))
    one, other = content(tmp_path / "one"), content(tmp_path / "other")
    assert list(one) == ["manifest.json", *(f"{name}/{name}.parquet" for name in sorted(SPLITS))]
    assert one == content(tmp_path / "two")
    assert one["test/test.parquet"] != other["test/test.parquet"]


def test_no_row_is_lost_and_each_label_has_its_share(tmp_path: Path) -> None:
    given = sentences(1000)
    made = prepare(str(table(tmp_path / "all.csv", given)), tmp_path / "out", Options(test=0.2))
    found = {split: rows_of(tmp_path / "out", split) for split in SPLITS}
    assert Counter((row["sentence"], row["label"]) for rows in found.values() for row in rows) == (
        Counter(given)
    )
    whole = Counter(label for _, label in given)
    for split, share in (("validation", 0.1), ("test", 0.2)):
        counts = Counter(row["label"] for row in found[split])
        assert counts == {label: round(count * share) for label, count in whole.items()}
        assert made["splits"][split]["labels"] == dict(sorted(counts.items()))


def test_where_a_row_goes_hangs_on_its_text_not_on_its_place(tmp_path: Path) -> None:
    given = sentences(300)
    for name, rows in (("a", given), ("b", given[::-1])):
        prepare(str(table(tmp_path / f"{name}.csv", rows)), tmp_path / name)
    for split in SPLITS:
        one, two = ({row["sentence"] for row in rows_of(tmp_path / x, split)} for x in "ab")
        assert one == two


def test_duplicates_lie_together_and_are_counted(tmp_path: Path) -> None:
    given = sentences(400)
    # Each third text again, shouted and with other spaces; each tenth as it is.
    given += [(f" {text.upper().replace(' ', '  ')}", label) for text, label in given[::3]]
    given += given[:400:10]
    made = prepare(str(table(tmp_path / "all.csv", given)), tmp_path / "out")
    texts = [
        {normalised(row["sentence"]) for row in rows_of(tmp_path / "out", split)}
        for split in SPLITS
    ]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert made["duplicates"]["exact"] == 40
    assert made["duplicates"]["normalised"] == 134 + 40
    assert made["removed"] == 0
    assert sum(split["rows"] for split in made["splits"].values()) == len(given)


def test_removing_duplicates_leaves_one_row_of_each_text(tmp_path: Path) -> None:
    given = sentences(200)
    made = prepare(
        str(table(tmp_path / "all.csv", given + given[:50])),
        tmp_path / "out",
        Options(duplicates="remove"),
    )
    found = [row["sentence"] for split in SPLITS for row in rows_of(tmp_path / "out", split)]
    assert sorted(found) == sorted(text for text, _ in given)
    assert made["removed"] == 50


def test_given_splits_stay_and_leakage_between_them_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, dev = sentences(200), [(f"dev {number}", "ab"[number % 2]) for number in range(50)]
    table(tmp_path / "data/train.csv", [*train, ("DEV 3", "a"), ("dev 4", "a")])
    table(tmp_path / "data/dev.csv", dev)
    command = ["data", "prepare", str(tmp_path / "data"), str(tmp_path / "out"), "--test", "0"]
    assert cli.run(command) == 0
    assert "rows of train that stand in validation too: 2 (kept" in capsys.readouterr().out
    assert not (tmp_path / "out/test").exists()
    assert len(rows_of(tmp_path / "out", "validation")) == 50
    assert cli.run([*command, "--duplicates", "remove"]) == 0
    assert len(rows_of(tmp_path / "out", "validation")) == 50
    assert len(rows_of(tmp_path / "out", "train")) == 200
    made = json.loads((tmp_path / "out/manifest.json").read_text())
    across = made["duplicates"]["across"]["train and validation"]
    assert across == {"exact": 1, "normalised": 2}


def test_no_group_stands_in_two_splits_not_even_by_way_of_a_text(tmp_path: Path) -> None:
    random = Random(1)
    given = [
        (f"text {number}", random.choice("ab"), f"author {random.randrange(60)}")
        for number in range(900)
    ]
    # One text of two authors: all that either wrote must lie together.
    given += [("the same text", "a", "author 1"), ("The same  text", "a", "author 2")]
    source = table(tmp_path / "all.csv", given, "sentence", "label", "author")
    columns = Columns("sentence", "label", group="author")
    prepare(str(source), tmp_path / "out", Options(columns, validation=0.2))
    authors = {
        split: {row["author"] for row in rows_of(tmp_path / "out", split)} for split in SPLITS
    }
    assert not authors["train"] & authors["validation"]
    assert not authors["train"] & authors["test"]
    assert not authors["validation"] & authors["test"]
    assert any({"author 1", "author 2"} <= found for found in authors.values())
    shares = {split: len(rows_of(tmp_path / "out", split)) / 902 for split in SPLITS}
    assert shares["validation"] == pytest.approx(0.2, abs=0.04)
    assert shares["test"] == pytest.approx(0.1, abs=0.04)


def test_colas_own_form_is_grouped_by_its_source(tmp_path: Path) -> None:
    rows = [f"s{number % 20}\t{number % 3 % 2}\t\tSentence {number}." for number in range(400)]
    (tmp_path / "raw.tsv").write_text("\n".join(rows))
    columns = Columns("sentence", "label", group="source")
    made = prepare(str(tmp_path / "raw.tsv"), tmp_path / "out", Options(columns))
    sources = [{row["source"] for row in rows_of(tmp_path / "out", split)} for split in SPLITS]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 20
    assert made["hyperparameters"] == {"label-names": "unacceptable,acceptable"}


def test_sentence_pairs_and_other_columns(tmp_path: Path) -> None:
    lines = [
        json.dumps({"premise": f"it is {n}", "claim": f"{n} it is", "gold": n % 2 == 0})
        for n in range(100)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    options = Options(Columns("premise", "gold", "claim"))
    made = prepare(str(tmp_path / "pairs.jsonl"), tmp_path / "out", options)
    assert made["hyperparameters"] == {"text-pair-column": "sentence_pair"}
    row = rows_of(tmp_path / "out", "train")[0]
    assert set(row) == {"sentence", "sentence_pair", "label"}
    assert row["sentence_pair"].endswith(" it is")


def test_a_folder_of_tables_without_names_of_splits_is_one_table(tmp_path: Path) -> None:
    table(tmp_path / "data/monday.csv", sentences(60))
    table(tmp_path / "data/tuesday.csv", [(f"tuesday {n}", "ab"[n % 2]) for n in range(40)])
    made = prepare(str(tmp_path / "data"), tmp_path / "out")
    assert sum(split["rows"] for split in made["splits"].values()) == 100


def test_rows_without_text_are_left_out_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = table(tmp_path / "all.csv", [*sentences(50), ("", "a"), ("x", " "), ("y", "b")])
    command = ["data", "prepare", str(source), str(tmp_path / "out")]
    assert cli.run(command) == 1
    assert "line 52: the text is empty; fill it in, or leave" in capsys.readouterr().err
    assert cli.run([*command, "--skip-empty"]) == 0
    assert "left out: 2 rows" in capsys.readouterr().out


ONE_LINE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such file": (lambda path: None, "there is no folder or file"),
    "no table": (lambda path: path.with_suffix(".doc").write_text("x"), ""),
    "empty": (lambda path: path.write_text(""), "is empty"),
    "a header only": (lambda path: table(path, []), "has a header but no rows"),
    "one class": (lambda path: table(path, [("x", "1"), ("y", "1")]), "one class only"),
    "no column": (lambda path: table(path, [("x", "1")], "text", "label"), "--text-column"),
    "not UTF-8": (lambda path: path.write_bytes(b"sentence,label\nx\xe9,1\n"), "line 2: not UTF-8"),
    "a label for each row": (
        lambda path: table(path, [(f"x{n}", f"{n}") for n in range(2000)]),
        "is 'label' the right column?",
    ),
    "two rows": (lambda path: table(path, [("x", "1"), ("y", "0")]), "no rows are left for"),
}


@pytest.mark.parametrize("case", ONE_LINE)
def test_what_is_wrong_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = ONE_LINE[case]
    make(tmp_path / "data.csv")
    assert cli.run(["data", "prepare", str(tmp_path / "data.csv"), str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "data.csv" in line or case == "two rows"
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*out*"))


def test_a_group_in_two_given_splits_is_refused(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        rows = [(f"{name} {n}", "ab"[n % 2], "g") for n in range(20)]
        table(tmp_path / f"data/{name}.csv", rows, "sentence", "label", "by")
    columns = Columns("sentence", "label", group="by")
    with pytest.raises(LaunchError, match="group 'g' stands in validation and in another"):
        prepare(str(tmp_path / "data"), tmp_path / "out", Options(columns))
    with pytest.raises(LaunchError, match="no rows are left for validation"):
        prepare(str(tmp_path / "data"), tmp_path / "out", Options(columns, resplit=True))


def test_a_folder_with_other_things_stays_as_it_is(tmp_path: Path) -> None:
    source = table(tmp_path / "all.csv", sentences(50))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    with pytest.raises(LaunchError, match="holds other things"):
        prepare(str(source), tmp_path / "out")
    assert content(tmp_path / "out") == {"thesis.txt": b"years of work"}
    (tmp_path / "out/manifest.json").write_text('{"name": "somebody else\'s"}')
    with pytest.raises(LaunchError, match="holds other things"):
        prepare(str(source), tmp_path / "out")


def test_what_is_read_is_not_replaced(tmp_path: Path) -> None:
    prepare(str(table(tmp_path / "all.csv", sentences(50))), tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(LaunchError, match="which is read: give another folder"):
        prepare(str(tmp_path / "out"), tmp_path / "out", Options(resplit=True))
    assert content(tmp_path / "out") == before


def test_no_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    for name in ("cola", "some-body/some-data"):
        with pytest.raises(LaunchError, match=r"must come from the Hub, but .* does not answer"):
            prepare(name, tmp_path / "out")


def test_a_killed_run_leaves_no_data_set_and_the_next_one_is_whole(tmp_path: Path) -> None:
    source = table(tmp_path / "all.csv", sentences(30_000))
    target, partial = tmp_path / "out", tmp_path / ".out.partial"
    command = [sys.executable, "-m", "byoc.cli", "data", "prepare", str(source), str(target)]
    code = f"import sys; from byoc.cli import main; sys.argv = {['byoc', *command[3:]]!r}; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    while not any(partial.glob("*/*.parquet")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert partial.is_dir()
    prepare(str(source), target)
    assert not partial.exists()
    prepare(str(source), tmp_path / "again")
    assert content(target) == content(tmp_path / "again")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; skips where it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=300k") != 0:
        pytest.skip(f"tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(0)
    rows = [(random.randbytes(60).hex(), random.choice("ab")) for _ in range(20_000)]
    source = table(tmp_path / "all.csv", rows)
    assert cli.run(["data", "prepare", str(source), str(small_disk / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device; free some room there" in line
    assert list(small_disk.iterdir()) == []
