"""`byoc deploy`, `endpoints` and `down` with `--where sagemaker`, on moto's AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
from account import HOST, put_image
from front import Call, Front, failing, refused, throttled

from api_model import faults
from byoc import cli
from byoc.launch import asking, endpoints

ROLE = "arn:aws:iam::123456789012:role/byoc"
MODEL = "s3://bucket/jobs/one/output/model.tar.gz"
IMAGE = f"{HOST}/byoc-serving:1"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Aws:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Done:
        self._capsys.readouterr()
        code = cli.run(list(words))
        told = self._capsys.readouterr()
        return Done(code, told.out, told.err)

    def deploy(self, *words: str) -> Done:
        common = ("--where", "sagemaker", "--name", "cola", "--role", ROLE, "--image", IMAGE)
        return self("deploy", MODEL, *common, *words)


@pytest.fixture
def byoc(front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Aws:
    monkeypatch.setattr(endpoints, "_AWS_POLL", 0.02)
    boto3.client("ecr").create_repository(repositoryName="byoc-serving")
    put_image("byoc-serving", "1")
    return Aws(capsys)


@pytest.mark.parametrize(
    ("words", "variant", "config"),
    [
        (
            ["--startup-timeout", "900", "--download-timeout", "600", "--instance-count", "2"],
            {
                "InstanceType": "ml.g5.xlarge",
                "InitialInstanceCount": 2,
                "InferenceAmiVersion": "al2023-ami-sagemaker-inference-gpu-4-1",
                "ContainerStartupHealthCheckTimeoutInSeconds": 900,
                "ModelDataDownloadTimeoutInSeconds": 600,
            },
            {},
        ),
        (
            ["--serverless", "2048", "--concurrency", "7"],
            {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 7}},
            {},
        ),
        (
            ["--async", "s3://b/answers", "--concurrency", "3", "--kms-key", "alias/k"],
            {"InstanceType": "ml.g5.xlarge"},
            {
                "AsyncInferenceConfig": {
                    "OutputConfig": {"S3OutputPath": "s3://b/answers", "KmsKeyId": "alias/k"},
                    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 3},
                },
                "KmsKeyId": "alias/k",
            },
        ),
        (
            ["--capture", "s3://b/seen", "--capture-percent", "20", "--tag", "team=nlp"],
            {},
            {"Tags": [{"Key": "team", "Value": "nlp"}]},
        ),
    ],
)
def test_the_requests_are_the_apis(
    byoc: Aws, words: list[str], variant: dict[str, object], config: dict[str, object]
) -> None:
    done = byoc.deploy(*words, "--print-request")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for name, request in told.items():
        assert not faults(name, request)
    found = told["CreateEndpointConfig"]
    assert found["ProductionVariants"][0].items() >= variant.items()
    assert found.items() >= config.items()
    assert not boto3.client("sagemaker").list_endpoints()["Endpoints"], "nothing is sent"


def test_deploying_goes_on_with_what_is_there_and_down_leaves_nothing(byoc: Aws) -> None:
    sagemaker = boto3.client("sagemaker")
    gpu = ("--instance-type", "ml.g4dn.xlarge")  # moto knows no newer one
    scale = (*gpu, "--max-instances", "4", "--invocations-per-instance", "600")
    first = byoc.deploy(*scale, "--rollback", "--rollback-latency", "200")
    assert first.returncode == 0, first.stderr
    (model,) = sagemaker.list_models()["Models"]
    assert (
        sagemaker.describe_endpoint(EndpointName="cola")["EndpointConfigName"]
        == (model["ModelName"])
    )
    again = byoc.deploy(*scale)
    assert again.returncode == 0, again.stderr
    assert "serves this already" in again.stderr
    assert len(sagemaker.list_models()["Models"]) == 1

    # As if a first try had ended between model and endpoint.
    sagemaker.delete_endpoint(EndpointName="cola")
    assert byoc.deploy(*gpu).returncode == 0
    assert "cola" in byoc("endpoints", "list", "--where", "sagemaker").stdout

    sagemaker.create_model(ModelName="cola-of-others", ExecutionRoleArn=ROLE)
    done = byoc("down", "cola", "--where", "sagemaker", "--yes")
    assert done.returncode == 0, done.stderr
    for told in ("autoscaling of cola", "alarm cola-5xx", "alarm cola-latency", "endpoint cola"):
        assert told in done.stdout
    assert not sagemaker.list_endpoints()["Endpoints"]
    assert not sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert [it["ModelName"] for it in sagemaker.list_models()["Models"]] == ["cola-of-others"]
    scaler = boto3.client("application-autoscaling")
    assert not scaler.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert not boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--multi-model"], ""),
        (["--multi-model", "--instance-type", "ml.g5.xlarge"], "Triton"),
        (["--serverless", "1000"], "--serverless 1000"),
        (["--serverless", "2048", "--async", "s3://b/x"], "SageMaker refuses both"),
        (["--subnets", "subnet-1"], "--security-groups"),
        (["--max-instances", "4"], "--invocations-per-instance"),
        (["--port", "8080"], "--port is for endpoints on this machine"),
        (["--concurrency", "4"], "a --serverless or --async endpoint only"),
        (["--serverless", "2048", "--rollback"], "--rollback does not go with --serverless"),
        (["--serverless", "2048", "--startup-timeout", "99"], "--startup-timeout does not go"),
    ],
)
def test_what_aws_would_refuse_is_told_before_anything_is_sent(
    byoc: Aws, words: list[str], said: str
) -> None:
    done = byoc.deploy(*words, "--print-request")
    assert done.returncode == (1 if said else 0), done.stderr
    assert said in done.stderr


GPU = ("--instance-type", "ml.g4dn.xlarge")


def test_another_version_is_an_update_and_the_old_one_goes(byoc: Aws, front: Front) -> None:
    assert byoc.deploy(*GPU).returncode == 0
    sagemaker = boto3.client("sagemaker")
    old = sagemaker.describe_endpoint(EndpointName="cola")["EndpointConfigName"]
    done = byoc.deploy(*GPU, "--env", "BYOC_TOP_K=all", "--rollback")
    assert done.returncode == 0, done.stderr
    for request in front.requests("CreateModel"):
        assert re.search(r"@sha256:[0-9a-f]{64}$", request["PrimaryContainer"]["Image"])
    new = sagemaker.describe_endpoint(EndpointName="cola")["EndpointConfigName"]
    assert new != old
    assert [it["ModelName"] for it in sagemaker.list_models()["Models"]] == [new]
    (update,) = front.requests("UpdateEndpoint")
    rollback = update["DeploymentConfig"]["AutoRollbackConfiguration"]
    assert rollback == {"Alarms": [{"AlarmName": "cola-5xx"}]}


def test_an_update_that_is_turned_back_is_a_failure_with_its_reason(
    byoc: Aws, front: Front
) -> None:
    assert byoc.deploy(*GPU).returncode == 0
    sagemaker = boto3.client("sagemaker")
    old = sagemaker.describe_endpoint(EndpointName="cola")["EndpointConfigName"]
    front.steps(
        "EndpointUpdate",
        {"EndpointStatus": "Updating"},
        {"EndpointStatus": "RollingBack"},
        {"EndpointStatus": "InService", "FailureReason": "alarm cola-5xx went off"},
    )
    done = byoc.deploy(*GPU, "--env", "BYOC_TOP_K=all")
    assert done.returncode == 1
    assert "serves what it did before: alarm cola-5xx went off" in done.stderr
    assert sagemaker.describe_endpoint(EndpointName="cola")["EndpointConfigName"] == old


def test_an_endpoint_that_fails_says_why_and_is_made_anew_by_the_same_command(
    byoc: Aws, front: Front
) -> None:
    reason = "The primary container did not pass the ping health check"
    front.steps(
        "Endpoint",
        {"EndpointStatus": "Creating"},
        {"EndpointStatus": "Failed", "FailureReason": reason},
    )
    done = byoc.deploy(*GPU)
    assert done.returncode == 1
    assert reason in done.stderr
    front.steps("Endpoint", {"EndpointStatus": "InService"})
    again = byoc.deploy(*GPU)
    assert again.returncode == 0, again.stderr
    assert "made anew" in again.stderr
    assert len(boto3.client("sagemaker").list_models()["Models"]) == 1


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_a_failure_in_between_is_gone_on_from(byoc: Aws, front: Front, operation: str) -> None:
    front.fail(operation, refused("ResourceLimitExceeded", "The account-level service limit"))
    done = byoc.deploy(*GPU)
    assert done.returncode == 1
    assert "limit" in done.stderr
    again = byoc.deploy(*GPU)
    assert again.returncode == 0, again.stderr
    assert len(front.requests("CreateModel")) == (2 if operation == "CreateModel" else 1)


def test_throttling_and_a_server_error_pass(byoc: Aws, front: Front) -> None:
    front.fail("CreateEndpointConfig", throttled())
    front.fail("DescribeEndpoint", failing(500))
    done = byoc.deploy(*GPU)
    assert done.returncode == 0, done.stderr


def test_down_goes_on_where_one_thing_cannot_be_deleted(byoc: Aws, front: Front) -> None:
    assert byoc.deploy(*GPU).returncode == 0
    front.fail("DeleteModel", refused("AccessDeniedException", "not authorized"))
    done = byoc("down", "cola", "--where", "sagemaker", "--yes")
    assert done.returncode == 1
    assert "is not deleted" in done.stderr
    assert not boto3.client("sagemaker").list_endpoints()["Endpoints"]
    again = byoc("down", "cola", "--where", "sagemaker", "--yes")
    assert again.returncode == 0, again.stderr
    assert not boto3.client("sagemaker").list_models()["Models"]


def test_an_endpoint_that_cannot_be_deleted_keeps_its_configuration(
    byoc: Aws, front: Front
) -> None:
    assert byoc.deploy(*GPU, "--rollback").returncode == 0
    front.fail("DeleteEndpoint", refused("ValidationException", "Cannot delete: in use"))
    done = byoc("down", "cola", "--where", "sagemaker", "--yes")
    assert done.returncode == 1
    assert "endpoint cola is not deleted" in done.stderr
    assert "endpoint configuration cola-" in done.stderr
    sagemaker = boto3.client("sagemaker")
    assert len(sagemaker.list_models()["Models"]) == 1
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1
    assert not boto3.client("cloudwatch").describe_alarms()["MetricAlarms"], "goes on with others"
    again = byoc("down", "cola", "--where", "sagemaker", "--yes")
    assert again.returncode == 0, again.stderr
    assert not boto3.client("sagemaker").list_endpoints()["Endpoints"]


def test_the_image_is_sent_by_its_digest_and_a_moved_tag_is_an_update(
    byoc: Aws, front: Front
) -> None:
    assert byoc.deploy(*GPU).returncode == 0
    sent = front.requests("CreateModel")[0]["PrimaryContainer"]["Image"]
    assert sent.startswith(f"{HOST}/byoc-serving@sha256:")
    missing = byoc.deploy(*GPU, "--image", f"{HOST}/byoc-serving:none")
    assert missing.returncode == 1
    assert "there is no image" in missing.stderr
    layer = {"digest": "sha256:" + "1" * 64}
    boto3.client("ecr").put_image(
        repositoryName="byoc-serving",
        imageTag="1",
        imageManifest=json.dumps({"schemaVersion": 2, "config": {}, "layers": [layer]}),
        imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
    )
    assert byoc.deploy(*GPU).returncode == 0
    assert len(front.requests("UpdateEndpoint")) == 1
    assert front.requests("CreateModel")[-1]["PrimaryContainer"]["Image"] != sent


def test_an_update_keeps_the_number_of_instances_that_autoscaling_chose(
    byoc: Aws, front: Front
) -> None:
    scale = ("--max-instances", "4", "--invocations-per-instance", "600")
    assert byoc.deploy(*GPU, *scale).returncode == 0
    assert byoc.deploy(*GPU, "--env", "BYOC_TOP_K=all").returncode == 0
    (update,) = front.requests("UpdateEndpoint")
    assert update["RetainAllVariantProperties"] is True


def test_an_update_may_take_longer_on_aws_than_a_start_here(
    byoc: Aws, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "START_SECONDS", 0.0)
    front.steps("Endpoint", *[{"EndpointStatus": "Creating"}] * 5, {"EndpointStatus": "InService"})
    done = byoc.deploy(*GPU)
    assert done.returncode == 0, done.stderr


def test_all_that_would_be_sent_is_shown(byoc: Aws) -> None:
    scale = ("--max-instances", "4", "--invocations-per-instance", "600")
    done = byoc.deploy(*scale, "--rollback", "--print-request")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["PutScalingPolicy"]["ResourceId"] == "endpoint/cola/variant/AllTraffic"
    for name in ("RegisterScalableTarget", "PutScalingPolicy"):
        assert not faults(name, told[name], "application-autoscaling")
    assert not faults("UpdateEndpoint", told["UpdateEndpoint"])
    (alarm,) = told["PutMetricAlarm"]
    assert not faults("PutMetricAlarm", alarm, "cloudwatch")


def test_a_busy_container_is_asked_again_and_answers_keep_their_order(
    byoc: Aws, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.01, 0.01))
    headers = {"Content-Type": "application/json"}
    busy = [503, 429]

    def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
        if busy:
            said = {"Message": "busy", "OriginalStatusCode": 503}
            kind = "ModelError" if busy.pop() == 503 else "ModelNotReadyException"
            code = 424 if kind == "ModelError" else 429
            return code, {**headers, "x-amzn-ErrorType": kind}, json.dumps(said).encode()
        texts = json.loads(call.body)["inputs"]
        found = [{"label": text.split()[-1], "score": 0.5} for text in texts]
        return 200, headers, json.dumps(found).encode()

    front.answers["InvokeEndpoint"] = answer
    (tmp_path / "texts.txt").write_text("".join(f"text {number}\n" for number in range(70)))
    words = ("--where", "sagemaker", "--endpoint", "cola", "--file", str(tmp_path / "texts.txt"))
    done = byoc("predict", *words, "--concurrency", "3", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert not busy
    rows = done.stdout.splitlines()[1:]
    assert rows == [f"text {number},{number},0.5" for number in range(70)]


def test_what_runs_is_shown_with_its_price(byoc: Aws, tmp_path: Path) -> None:
    assert byoc("cost").stdout == "nothing is running\n"
    assert byoc.deploy(*GPU, "--instance-count", "2").returncode == 0
    prices = tmp_path / "prices.toml"
    prices.write_text('"ml.g4dn.xlarge" = 0.75\n')
    done = byoc("cost", "--prices", str(prices))
    assert done.returncode == 0, done.stderr
    assert "2 x ml.g4dn.xlarge" in done.stdout
    assert "1.50 an hour" in done.stdout
    prices.write_text('"ml.c5.large" = 0.1\n')
    unknown = byoc("cost", "--prices", str(prices))
    assert unknown.returncode == 0
    assert '"ml.g4dn.xlarge" = PRICE' in unknown.stderr
    missing = byoc("cost", "--prices", "nowhere.toml")
    assert missing.returncode == 1
    assert "nowhere.toml" in missing.stderr
