"""A job's output on S3, as `byoc debug report s3://…` fetches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from byoc import archive, cli
from byoc.debugger.run import read
from byoc.launch.errors import LaunchError
from byoc.launch.job_output import download

SAMPLE = (
    '{"Type":"cpu","Name":"cpu0","Dimension":"CPUUtilization","Value":8.0,"NodeId":"algo-1",'
    '"Timestamp":1591160699.757}\n'
)


@pytest.fixture
def s3(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    import boto3

    for name, value in {**aws, "AWS_DEFAULT_REGION": aws["AWS_REGION"]}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(
        Bucket="jobs", CreateBucketConfiguration={"LocationConstraint": aws["AWS_REGION"]}
    )
    return client


def test_what_debugger_wrote_and_the_jobs_archive_come_without_the_model(
    s3: Any, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/metrics.jsonl").write_text('{"step": 1, "train_loss": 0.5}\n')
    archive.pack(tmp_path / "data", tmp_path / "output.tar.gz")
    profile = "p/job/profiler-output/system/incremental/2020060305/1591160700.algo-1.json"
    for key, content in {
        "p/job/output/output.tar.gz": (tmp_path / "output.tar.gz").read_bytes(),
        "p/job/output/model.tar.gz": b"large",
        "p/job/../../index/evil.json": b"evil",
        profile: SAMPLE.encode(),
        "p/job-2/output/output.tar.gz": b"another job's",
    }.items():
        s3.put_object(Bucket="jobs", Key=key, Body=content)
    folder = tmp_path / "here"
    assert download("s3://jobs/p/job/", folder) == 2
    assert not list(tmp_path.rglob("model.tar.gz"))
    assert not list(tmp_path.rglob("evil.json"))
    run = read(folder)
    assert run.system[0].values.tolist() == [8.0]
    assert run.history == [{"step": 1, "train_loss": 0.5}]


def test_a_prefix_with_nothing_of_ours_says_so(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="jobs", Key="p/model.tar.gz", Body=b"x")
    with pytest.raises(LaunchError, match="no output of a debugged job under s3://jobs/p"):
        download("s3://jobs/p", tmp_path)


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["debug", "report", "s3://no-such-bucket/job"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("byoc: AWS: ")
    assert "NoSuchBucket" in line
