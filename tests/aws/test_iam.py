"""The policies in docs/iam against what the code calls: each call is allowed, and nothing else."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from account import ROLE, Account
from botocore import xform_name
from front import Front

from byoc import cli
from byoc.launch import endpoints

ROOT = Path(__file__).parents[2]
IAM = ROOT / "docs" / "iam"
CODE = ROOT / "code" / "byoc"

SERVICES = {
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "s3": "s3",
    "ecr": "ecr",
    "logs": "logs",
    "cloudwatch": "cloudwatch",
    "application-autoscaling": "application-autoscaling",
}
"""botocore's name to IAM's; sts:GetCallerIdentity needs no permission."""
OTHER_NAMES = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListParts": "s3:ListMultipartUploadParts",
}
"""Source: Actions, resources and condition keys for Amazon S3, in the Service Authorization
Reference."""
TRANSFERS = {"download_file": "s3:GetObject", "upload_file": "s3:PutObject"}
NOT_AWS = {"create_trial", "search"}
"""Optuna's and re's."""
BY_REQUEST = {"iam:PassRole", "sagemaker:AddTags"}
"""No call of their own: a role and tags in a request need them."""
BY_DOCKER = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
}
IN_IMAGES = ("training", "serving", "debugger")
NO_COMMANDS = ("conformance", "bench", *IN_IMAGES)


def _allowed(statements: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for it in statements:
        actions = it["Action"]
        found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def _policy(name: str) -> set[str]:
    return _allowed(json.loads((IAM / name).read_text(encoding="utf-8"))["Statement"])


def _methods() -> dict[str, str]:
    """boto3's method names and the action that each needs."""
    session = botocore.session.get_session()
    found = dict(TRANSFERS)
    for service, prefix in SERVICES.items():
        for name in session.get_service_model(service).operation_names:
            action = f"{prefix}:{name}"
            found.setdefault(xform_name(name), OTHER_NAMES.get(action, action))
    return {name: action for name, action in found.items() if name not in NOT_AWS}


def _called(files: Iterator[Path]) -> set[str]:
    """The actions of all methods that are named in the code, as attributes or paginators."""
    methods, found = _methods(), set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", None) or getattr(node, "value", None)
            if isinstance(name, str) and name in methods:
                found.add(methods[name])
    return found


def _files(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from (CODE / room).rglob("*.py")


def test_the_callers_policy_is_what_the_commands_call() -> None:
    files = (
        path
        for path in CODE.rglob("*.py")
        if path.relative_to(CODE).parts[0] not in NO_COMMANDS and path.name != "ecr.py"
    )
    assert _policy("caller.json") == _called(files) | BY_REQUEST


def test_the_pushers_policy_is_what_the_push_calls() -> None:
    assert _policy("push.json") == _called(CODE.glob("launch/ecr.py")) | BY_DOCKER


def test_the_role_may_do_what_the_images_call() -> None:
    assert _called(_files(*IN_IMAGES)) <= _policy("role.json")


def test_what_the_commands_send_is_allowed(
    front: Front, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = [{"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}] * 5
    front.steps("TrainingJob", *steps)
    assert cli.run(account.train("--no-wait", "--tag", "team=nlp")) == 0
    for command in ("show", "stop"):
        more = ["--no-wait"] if command == "stop" else []
        assert cli.run(["jobs", command, "job-1", "--where", "sagemaker", *more]) == 0
    assert cli.run(["jobs", "list", "--where", "sagemaker"]) == 0
    assert cli.run(["jobs", "logs", "job-1", "--where", "sagemaker", "--no-follow"]) == 0
    image = ["--image", account.image, "--role", ROLE]
    tune = ["tune", "--where", "sagemaker", "--preset", "cola", "--name", "t", *image]
    data = ["--train", "s3://jobs/train", "--validation", "s3://jobs/dev"]
    assert cli.run([*tune, *data, "--output", "s3://jobs/out", "--detach"]) == 0
    monkeypatch.setattr(endpoints, "_AWS_POLL", 0.02)
    deploy = ["deploy", "s3://jobs/m.tar.gz", "--where", "sagemaker", "--name", "e", *image]
    deploy += ["--instance-type", "ml.g4dn.xlarge", "--rollback"]
    scaled = ["--max-instances", "2", "--invocations-per-instance", "9"]
    for more in (scaled, ["--env", "BYOC_TOP_K=all"]):
        assert cli.run([*deploy, *more]) == 0
    assert cli.run(["cost"]) == 0
    assert cli.run(["endpoints", "list", "--where", "sagemaker"]) == 0
    assert cli.run(["down", "e", "--where", "sagemaker", "--yes"]) == 0
    sent = {f"{it.service}:{it.operation}" for it in front.calls if it.service != "sts"}
    assert len(sent) >= 25
    assert {OTHER_NAMES.get(it, it) for it in sent} <= _policy("caller.json")


def test_the_template_is_clean_and_its_role_is_that_of_the_policy() -> None:
    from cfnlint.api import lint_file
    from cfnlint.decode import cfn_yaml

    assert [str(it) for it in lint_file(IAM / "account.yaml")] == []
    resources = cfn_yaml.load(str(IAM / "account.yaml"))["Resources"]
    block = resources["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
    assert list(block.values()) == [True] * 4
    role = resources["Role"]["Properties"]
    (policy,) = role["Policies"]
    assert _allowed(policy["PolicyDocument"]["Statement"]) == _policy("role.json")
    trust = role["AssumeRolePolicyDocument"]["Statement"]
    assert _allowed(trust) == _policy("trust.json")


@pytest.mark.filterwarnings("ignore:Tried to parse AWS..S3..BucketPolicy")
def test_the_template_makes_its_parts(front: Front) -> None:
    stacks = boto3.client("cloudformation")
    body = (IAM / "account.yaml").read_text(encoding="utf-8")
    stacks.create_stack(StackName="byoc", TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    (stack,) = stacks.describe_stacks(StackName="byoc")["Stacks"]
    made = {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}
    assert made["Role"].endswith(":role/byoc-sagemaker-eu-central-1")
    rule = boto3.client("s3").get_bucket_encryption(Bucket=made["Bucket"])
    assert "aws:kms" in str(rule["ServerSideEncryptionConfiguration"])
    repositories = boto3.client("ecr").describe_repositories()["repositories"]
    assert sorted(it["repositoryName"] for it in repositories) == ["byoc-serving", "byoc-training"]
