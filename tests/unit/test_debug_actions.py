"""What happens when a rule fires."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from byoc.debugger.actions import Action, ActionError, Actions, parse
from byoc.debugger.findings import Finding

FINDING = Finding(
    "VanishingGradient", "the mean is 1e-9.", "Raise lr to 1e-4.", step=30, mode="TRAIN"
)
OTHER = Finding("Overfit", "it is.", "Stop.")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("TRAINING_JOB_NAME", "job-1")
    with mock_aws():
        yield


def take(text: str, *findings: Finding, stop: Callable[[str], None] = lambda rule: None) -> None:
    actions = Actions(parse(text), stop)
    for finding in findings:
        actions.take([finding])
    actions.finish()


def test_the_texts_of_actions() -> None:
    assert parse(" report ; command: touch a:b; true ") == (
        Action("report"),
        Action("command", "touch a:b; true"),
    )
    assert parse("") == ()


@pytest.mark.parametrize(
    "text", ["explode", "stop: now", "command:", "sns: topic", "email: nobody", "report stop"]
)
def test_texts_that_are_no_actions(text: str) -> None:
    with pytest.raises(ActionError):
        parse(text)


def test_a_report_is_one_line_for_each_rule(capsys: pytest.CaptureFixture[str]) -> None:
    take("report", FINDING, FINDING, OTHER)
    assert capsys.readouterr().out.splitlines() == [
        "rule VanishingGradient fired at step 30 (TRAIN): the mean is 1e-9. Raise lr to 1e-4.",
        "rule Overfit fired: it is. Stop.",
    ]


def test_a_command_gets_the_rule_and_may_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    take(f'command: echo "$BYOC_RULE: $BYOC_FINDING" >> {out}', FINDING, FINDING)
    assert out.read_text().startswith("VanishingGradient: rule VanishingGradient fired at step 30")
    assert len(out.read_text().splitlines()) == 1
    take("command: exit 3", FINDING)
    assert "action command failed" in capsys.readouterr().out


def test_a_slow_command_does_not_hold_up_training(tmp_path: Path) -> None:
    go = tmp_path / "go"
    actions = Actions(parse(f"command: until [ -e {go} ]; do sleep 0.05; done"), lambda rule: None)
    began = time.monotonic()
    actions.take([FINDING])
    assert time.monotonic() - began < 1
    go.touch()
    actions.finish()


def test_stopping_outside_of_sagemaker_ends_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_JOB_ARN", raising=False)
    stopped: list[str] = []
    take("stop", FINDING, FINDING, stop=stopped.append)
    assert stopped == ["VanishingGradient"]
    actions = Actions(parse("stop"), stopped.append)
    actions.take([OTHER], is_over=True)
    assert stopped == ["VanishingGradient"]


def test_stopping_on_sagemaker_ends_training_where_the_role_may_not(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_JOB_ARN", "arn:aws:sagemaker:eu-west-1:1:training-job/job-1")
    stopped: list[str] = []
    take("stop", FINDING, stop=stopped.append)  # moto has no StopTrainingJob: it fails
    assert stopped == ["VanishingGradient"]
    assert "no StopTrainingJob" in capsys.readouterr().out


def test_stopping_on_sagemaker_leaves_the_rest_to_it(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.stub import Stubber

    from byoc.debugger import actions

    client = boto3.client("sagemaker", region_name="eu-west-1")
    stub = Stubber(client)
    stub.add_response("stop_training_job", {}, {"TrainingJobName": "job-1"})
    monkeypatch.setattr(actions, "_client", lambda service, region=None: client)
    monkeypatch.setenv("TRAINING_JOB_ARN", "arn:aws:sagemaker:eu-west-1:1:training-job/job-1")
    stopped: list[str] = []
    with stub:
        take("stop", FINDING, stop=stopped.append)
    assert stopped == []
    stub.assert_no_pending_responses()


def received(queue: str) -> list[Any]:
    sqs = boto3.client("sqs", region_name="eu-west-1")
    return list(sqs.receive_message(QueueUrl=queue).get("Messages", []))


def test_a_message_reaches_the_topic(aws: None) -> None:
    sns = boto3.client("sns", region_name="eu-west-1")
    sqs = boto3.client("sqs", region_name="eu-west-1")
    topic = sns.create_topic(Name="watch")["TopicArn"]
    queue = sqs.create_queue(QueueName="watched")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    endpoint = arn["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)
    take(f"sns: {topic}", FINDING)
    (message,) = received(queue)
    assert "VanishingGradient fired in job-1" in message["Body"]
    assert "Raise lr to 1e-4" in message["Body"]


def test_an_email_address_is_asked_and_told_by_a_topic_of_its_own(aws: None) -> None:
    take("email: a@example.com; email: b@example.com", FINDING)
    sns = boto3.client("sns", region_name="eu-west-1")
    found = sns.list_subscriptions()["Subscriptions"]
    assert {s["Endpoint"] for s in found} == {"a@example.com", "b@example.com"}
    assert len({s["TopicArn"] for s in found}) == 2


def test_no_network_is_a_line_on_the_log(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    take("sns: arn:aws:sns:eu-west-1:123456789012:missing", FINDING)
    assert "action sns failed" in capsys.readouterr().out
