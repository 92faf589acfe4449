"""`byoc debug report` and `byoc debug compare`: files, last words, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from byoc import archive, cli
from byoc.commands.debug import name_of

MAKE = (
    "import sys; from pathlib import Path; from byoc.debugger import library; library.load();"
    "from byoc.bench.debug_job import Size, make_job;"
    "make_job(Path(sys.argv[1]), Size(samples=4000, saves=40, layers=2))"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job's output/data; made and read in processes of their own, for protobuf's sake."""
    folder = tmp_path_factory.mktemp("job") / "small-job"
    subprocess.run([sys.executable, "-c", MAKE, folder], check=True)
    return folder


def byoc(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("byoc")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def test_a_report_is_two_files(made: Path, tmp_path: Path) -> None:
    done = byoc("debug", "report", made, "--output", tmp_path / "out", "--set", "aws")
    assert done.returncode == 0, done.stderr
    page, numbers = tmp_path / "out/report.html", tmp_path / "out/report.json"
    assert done.stdout.splitlines()[-2:] == [str(page), str(numbers)]
    report = json.loads(numbers.read_text())
    assert report["rules"]["sets"] == ["aws"]
    assert report["tensors"]["saves"] == 40
    assert [layer["name"] for layer in report["gradients"]["layers"]] == [
        "embeddings",
        "layer 0",
        "layer 1",
        "pre_classifier",
        "classifier",
    ]
    statuses = {rule["rule"]: rule["status"] for rule in report["rules"]["results"]}
    assert len(statuses) > 20
    assert statuses["VanishingGradient"] == "quiet"
    assert report["steps"]["outliers"]["steps"] == [100]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.html",
        "report.json",
    ]
    assert "Made by" not in done.stdout
    assert "smdebug" not in done.stdout + done.stderr


def test_two_jobs_are_compared_also_from_an_archive(made: Path, tmp_path: Path) -> None:
    packed = tmp_path / "on-s3"
    archive.pack(made, packed / "output.tar.gz")
    done = byoc("debug", "compare", made, packed, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "A made-up-job and B made-up-job" in (tmp_path / "out/compare.html").read_text()


def failing(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr."""
    assert cli.run([*map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = failing(capsys, "debug", "report", tmp_path / "none")
    assert str(tmp_path / "none") in line


def test_a_folder_with_nothing_of_ours_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").write_text("x")
    line = failing(capsys, "debug", "report", tmp_path, "--output", tmp_path / "out")
    assert "holds nothing of a debugged job" in line
    assert "debug=true" in line
    assert not (tmp_path / "out").exists()


def test_a_torn_archive_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "output.tar.gz").write_bytes(b"\x1f\x8b\x08torn")
    line = failing(capsys, "debug", "report", tmp_path)
    assert "not a whole tar.gz archive" in line


def test_an_output_that_cannot_be_written_is_one_line(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = byoc("debug", "report", made, "--output", tmp_path / "file/out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("byoc: ")
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["debug", "report"]) == 2
    assert cli.run(["debug", "report", "x", "--set", "ours"]) == 2


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("s3://bucket/prefix/job-7/", "job-7"),
        ("out/jobs/job-7", "job-7"),
        ("s3://bucket", "bucket"),
        (".", Path.cwd().name),
    ],
)
def test_a_report_is_named_after_its_source(source: str, name: str) -> None:
    assert name_of(source) == name
