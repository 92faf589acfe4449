"""`byoc train --where sagemaker` and `byoc jobs`, as a person meets them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from account import Account
from front import Fault, Front, dropped, failing, lost, throttled

from byoc import cli
from byoc.launch import aws, aws_job

CAPTURE = pytest.CaptureFixture[str]
STEPS: list[dict[str, Any]] = [
    {"TrainingJobStatus": "InProgress", "SecondaryStatus": name, "StatusMessage": said}
    for name, said in (
        ("Starting", "Preparing the instances for training"),
        ("Downloading", "Downloading input data"),
        ("Training", "Training image download completed. Training in progress."),
    )
]
DONE = {
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "StatusMessage": "Training job completed",
    "BillableTimeInSeconds": 90,
    "TrainingTimeInSeconds": 300,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(aws_job, "POLL_SECONDS", 0.01)


def _log(name: str, *lines: str, host: str = "algo-1-1795000000") -> None:
    logs = boto3.client("logs")
    group, stream = "/aws/sagemaker/TrainingJobs", f"{name}/{host}"
    if not logs.describe_log_groups()["logGroups"]:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": 1795000000000 + i, "message": it} for i, it in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_a_job_is_followed_to_its_end(front: Front, account: Account, capsys: CAPTURE) -> None:
    front.steps("TrainingJob", *STEPS, DONE)
    _log("job-1", "train: 1000 rows", "train: epoch 1 val_mcc=0.41")
    _log("job-11", "another job's")
    more = [
        "--spot",
        "--checkpoints",
        "s3://jobs/ckpt",
        "--max-runtime",
        "600",
        "--tag",
        "team=nlp",
    ]
    assert cli.run(account.train(*more, "-Hepochs=1")) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "train: 1000 rows",
        "train: epoch 1 val_mcc=0.41",
        "model: s3://jobs/out/job-1/output/model.tar.gz",
    ]
    assert "byoc: job-1: Downloading: Downloading input data" in err
    assert "job-1: Completed, 90 s billed of 300 s (70% saved by spot)" in err
    (request,) = front.requests("CreateTrainingJob")
    image = request["AlgorithmSpecification"]["TrainingImage"]
    assert image == account.image.partition(":")[0] + "@" + account.digest
    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 600,
        "MaxWaitTimeInSeconds": 1200,
    }
    assert request["Tags"] == [{"Key": "team", "Value": "nlp"}]


def test_a_failure_reason_is_the_exit_message(
    front: Front, account: Account, capsys: CAPTURE
) -> None:
    reason = "AlgorithmError: train: channel train: no column sentence, exit code: 1"
    front.steps("TrainingJob", {"TrainingJobStatus": "Failed", "FailureReason": reason})
    assert cli.run(account.train()) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"byoc: training job job-1: Failed: {reason}"
    none_free = "CapacityError: Unable to provision requested ML compute capacity."
    front.steps("TrainingJob", {"TrainingJobStatus": "Failed", "FailureReason": none_free})
    assert cli.run(account.train(name="job-2")) == 1
    assert "another --instance-type" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_detaches_and_the_job_can_be_attached_to_and_stopped(
    front: Front, account: Account, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.steps("TrainingJob", *STEPS, *STEPS[-1:] * 50)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(aws_job.time, "sleep", interrupted)
        assert cli.run(account.train()) == 130
    err = capsys.readouterr().err
    assert "training job job-1 is not stopped by this" in err
    assert "byoc jobs logs job-1 --where sagemaker" in err
    assert "StopTrainingJob" not in front.operations()
    _log("job-1", "train: a line")
    assert cli.run(["jobs", "logs", "job-1", "--where", "sagemaker", "--no-follow"]) == 0
    assert capsys.readouterr().out == "train: a line\n"
    assert cli.run(["jobs", "stop", "job-1", "--where", "sagemaker"]) == 0
    assert capsys.readouterr().out == "job-1: Stopped\n"
    assert cli.run(["jobs", "list", "--where", "sagemaker"]) == 0
    assert re.search(r"job-1 .*Stopped", capsys.readouterr().out)
    assert cli.run(["jobs", "show", "job-1", "--where", "sagemaker"]) == 0
    assert "instance: 1 x ml.m5.large" in capsys.readouterr().out
    assert cli.run(["jobs", "logs", "job-1", "--where", "sagemaker"]) == 1
    assert "job-1: Stopped" in capsys.readouterr().err


def test_the_same_command_again_after_a_lost_answer_goes_on(
    front: Front, account: Account, capsys: CAPTURE
) -> None:
    front.steps("TrainingJob", *STEPS[:1], DONE)
    front.fail("CreateTrainingJob", lost())
    front.fail("DescribeTrainingJob", throttled(), times=2)
    front.fail("HeadBucket", failing(503))
    assert cli.run(account.train()) == 0
    assert "with the same request: it is followed" in capsys.readouterr().err
    assert cli.run(account.train()) == 0
    assert cli.run(account.train("-Hepochs=9")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "already a training job job-1, Completed, of another request" in line


def test_the_request_is_printed_and_nothing_is_sent(
    front: Front, account: Account, capsys: CAPTURE
) -> None:
    assert cli.run(account.train("--print-request", "--keep-alive", "600")) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert front.calls == []


def test_the_volume_fits_the_data(front: Front, account: Account) -> None:
    def listing(_call: Any) -> tuple[int, dict[str, str], bytes]:
        inner = "<Contents><Key>train/x</Key><Size>50000000000</Size></Contents>"
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, body.encode()

    front.answers["ListObjectsV2"] = listing
    assert cli.run(account.train("--no-wait")) == 0
    (request,) = front.requests("CreateTrainingJob")
    assert request["ResourceConfig"]["VolumeSizeInGB"] == 160
    assert cli.run(account.train("--no-wait", "--volume-size", "40", name="job-2")) == 0
    assert front.requests("CreateTrainingJob")[1]["ResourceConfig"]["VolumeSizeInGB"] == 40


REFUSED = {
    "local data": (["--train", "data.tsv"], "`byoc data upload data.tsv s3://BUCKET/PREFIX` sends"),
    "no data": (["--train", "s3://jobs/none"], "there is nothing under s3://jobs/none"),
    "no bucket": (["--train", "s3://not-there/x"], "there is no bucket not-there"),
    "spot": (["--spot"], "--spot needs --checkpoints"),
    "wait": (["--max-wait", "5"], "--max-wait is for --spot"),
    "groups": (["--subnets", "subnet-1"], "--subnets and --security-groups go together"),
    "warm": (["--keep-alive", "4000"], "--keep-alive is at most 3600"),
    "isolated": (["--network-isolation"], "give --model"),
    "image": (["--image", "byoc-training:cpu"], "is not in ECR"),
    "instance": (["--instance-type", "ml.none.large"], "ml.none.large"),
    "tag": (["--tag", "x"], "tag 'x' is not of the form"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_fail_on_aws_is_said_first(
    name: str, front: Front, account: Account, capsys: CAPTURE
) -> None:
    arguments, said = REFUSED[name]
    assert cli.run(account.train(*arguments)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert said in line
    assert line.startswith("byoc: ")


FAULTS: dict[str, Fault] = {
    "throttled": throttled(),
    "failing": failing(503),
    "dropped": dropped(),
    "lost": lost(),
}
ASKED = ("DescribeImages", "HeadBucket", "ListObjectsV2", "CreateTrainingJob")
FOLLOWED = ("DescribeTrainingJob", "DescribeLogStreams", "GetLogEvents")
ALL = [(operation, fault) for operation in (*ASKED, *FOLLOWED) for fault in FAULTS]
SOME = [("HeadBucket", "failing"), ("CreateTrainingJob", "lost"), ("GetLogEvents", "dropped")]


@pytest.mark.parametrize(("operation", "fault"), ALL if os.environ.get("BYOC_LONG") else SOME)
def test_a_fault_at_any_call_is_survived_or_said_and_the_same_command_goes_on(
    operation: str, fault: str, front: Front, account: Account, capsys: CAPTURE, monkeypatch: Any
) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    front.steps("TrainingJob", *STEPS, DONE)
    for name in ("job-1", "job-2"):
        _log(name, "train: a line")
    front.fail(operation, FAULTS[fault])
    assert cli.run(account.train()) == 0
    assert "train: a line" in capsys.readouterr().out
    front.fail(operation, FAULTS[fault], times=2)
    assert cli.run(account.train(name="job-2")) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("byoc: AWS: ")
    assert len([it for it in err if "AWS: " in it]) == 1
    assert any("is not stopped by this" in it for it in err) == (operation in FOLLOWED)
    assert cli.run(account.train(name="job-2")) == 0
    assert front.operations().count("StopTrainingJob") == 0
