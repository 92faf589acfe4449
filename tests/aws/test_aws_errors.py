"""AWS's errors as a person meets them: one line, what to do, exit code 1; and images in ECR."""

from __future__ import annotations

import boto3
import pytest
from account import ACCOUNT, HOST, REGION, ROLE, Account, put_image
from front import Fault, Front, dropped, expired, failing, refused, throttled

from byoc import cli
from byoc.launch import aws, aws_faults, images
from byoc.launch.errors import LaunchError

CAPTURE = pytest.CaptureFixture[str]
QUOTA = (
    "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, with "
    "current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service "
    "Quotas to request an increase for this quota."
)
TRUST = (
    f"Could not assume role {ROLE}. Please ensure that the role exists and allows principal "
    "'sagemaker.amazonaws.com' to assume the role."
)
DENIED = (
    f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: "
    f"sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/j"
)
PASS = (
    f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: iam:PassRole on resource: "
    f"{ROLE} because no identity-based policy allows the iam:PassRole action"
)
ERRORS: dict[str, tuple[Fault, str]] = {
    "expired": (expired(), "your AWS session has expired: sign in again"),
    "key": (refused("UnrecognizedClientException", "invalid"), "does not know these credentials"),
    "role": (refused("ValidationException", TRUST), f"SageMaker cannot assume {ROLE}"),
    "pass": (refused("AccessDeniedException", PASS), "your policy needs iam:PassRole on it"),
    "denied": (refused("AccessDeniedException", DENIED), "you lack sagemaker:CreateTrainingJob on"),
    "quota": (
        refused("ResourceLimitExceeded", QUOTA),
        "Amazon SageMaker > 'ml.g5.xlarge for training job usage'",
    ),
    "throttled": (throttled(), "wait a minute, then run the same command again"),
    "failing": (failing(500), "AWS failed on its side"),
    "dropped": (dropped(), "run the same command again"),
}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_one_line_that_says_what_to_do(
    name: str, front: Front, account: Account, capsys: CAPTURE
) -> None:
    fault, said = ERRORS[name]
    front.fail("CreateTrainingJob", fault, times=9)
    assert cli.run(account.train()) == 1
    lines = [it for it in capsys.readouterr().err.splitlines() if "AWS: " in it]
    assert len(lines) == 1
    assert said in lines[0]


def test_nothing_set_up_is_said_before_anything_is_sent(
    front: Front, account: Account, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patched.delenv(name)
        assert cli.run(account.train()) == 1
        assert "no AWS region is set" in capsys.readouterr().err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert cli.run(account.train()) == 1
    assert "no AWS credentials were found" in capsys.readouterr().err
    assert front.calls == []


def test_a_bucket_in_another_region_is_refused(
    front: Front, account: Account, capsys: CAPTURE
) -> None:
    where = {"LocationConstraint": "us-west-2"}
    boto3.client("s3", region_name="us-west-2").create_bucket(
        Bucket="far-away", CreateBucketConfiguration=where
    )
    assert cli.run(account.train("--output", "s3://far-away/out")) == 1
    assert "output: bucket far-away is in us-west-2" in capsys.readouterr().err
    assert "CreateTrainingJob" not in front.operations()


def test_an_image_is_pinned_by_tag_or_digest(front: Front, account: Account) -> None:
    by_digest = f"{HOST}/byoc-training@{account.digest}"
    assert images.pinned(account.image) == by_digest
    assert images.pinned(by_digest) == by_digest
    assert images.pinned(f"{account.image}@{account.digest}", hosting=True) == by_digest


def test_an_image_that_is_not_there_or_elsewhere_says_so(front: Front, account: Account) -> None:
    for image, said in (
        (f"{HOST}/byoc-training:other", "there is no image"),
        (f"{HOST}/byoc-training@sha256:{'0' * 64}", "there is no image"),
        (f"{HOST}/nothing:1", "there is no ECR repository nothing"),
        (account.image.replace(REGION, "us-west-2"), "is in us-west-2"),
        ("docker.io/library/python:3", "is not in ECR"),
    ):
        with pytest.raises(LaunchError, match=said):
            images.pinned(image)
    oci = "application/vnd.oci.image.manifest.v1+json"
    put_image("byoc-training", "oci", oci)
    with pytest.raises(LaunchError, match="an OCI manifest, which SageMaker hosting refuses"):
        images.pinned(f"{HOST}/byoc-training:oci", hosting=True)


def test_another_accounts_registry_is_asked_for_by_its_id(front: Front, account: Account) -> None:
    with pytest.raises(LaunchError, match="in account 210987654321"):
        images.pinned(account.image.replace(ACCOUNT, "210987654321"))
    assert front.requests("DescribeImages")[-1]["registryId"] == "210987654321"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("CapacityError: Unable to provision requested ML compute capacity.", "try again later"),
        (
            "ClientError: Data download failed:PermanentRedirect (301): The bucket is in this "
            "region: us-west-2. Please use this region to retry the request",
            "AWS_REGION=us-west-2",
        ),
        ("AlgorithmError: train: no column sentence", "no column sentence"),
    ],
)
def test_a_failure_reason_that_is_known_says_what_to_do(reason: str, said: str) -> None:
    told = aws_faults.reason(reason)
    assert told.startswith(reason)
    assert said in told
