"""The server in front of moto: is it what the tests take it for?"""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from front import Front, dropped, expired, failing, late, lost, throttled
from front.lacking import LACKING

ONCE = Config(retries={"total_max_attempts": 1})
JOB: dict[str, Any] = {
    "TrainingJobName": "j",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/job",
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def _status(sagemaker: Any) -> str:
    return str(sagemaker.describe_training_job(TrainingJobName="j")["TrainingJobStatus"])


@pytest.mark.parametrize("name", LACKING)
def test_moto_still_lacks_what_is_answered_here(name: str) -> None:
    """One that moto has learned must go from the list."""
    from moto.sagemaker.responses import SageMakerResponse

    assert not hasattr(SageMakerResponse, xform_name(name))


def test_calls_of_every_protocol_are_recorded_by_their_names(front: Front) -> None:
    s3, region = boto3.client("s3"), {"LocationConstraint": "eu-central-1"}
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=region)
    s3.put_object(Bucket="bucket", Key="a/x y", Body=b"1" * 100)
    assert s3.get_object(Bucket="bucket", Key="a/x y")["Body"].read() == b"1" * 100
    s3.head_object(Bucket="bucket", Key="a/x y")
    s3.head_bucket(Bucket="bucket")
    s3.list_objects_v2(Bucket="bucket", Prefix="a/")
    s3.get_bucket_location(Bucket="bucket")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key="m", UploadId=upload, PartNumber=1, Body=b"2")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="bucket", Key="m", UploadId=upload, MultipartUpload=parts)
    s3.delete_object(Bucket="bucket", Key="m")
    boto3.client("sts").get_caller_identity()
    boto3.client("ecr").create_repository(repositoryName="repo")
    boto3.client("logs").create_log_group(logGroupName="g")
    boto3.client("cloudwatch").describe_alarms()
    boto3.client("iam").list_roles()
    boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"{}")
    assert [f"{it.service}:{it.operation}" for it in front.calls] == [
        "s3:CreateBucket",
        "s3:PutObject",
        "s3:GetObject",
        "s3:HeadObject",
        "s3:HeadBucket",
        "s3:ListObjectsV2",
        "s3:GetBucketLocation",
        "s3:CreateMultipartUpload",
        "s3:UploadPart",
        "s3:CompleteMultipartUpload",
        "s3:DeleteObject",
        "sts:GetCallerIdentity",
        "ecr:CreateRepository",
        "logs:CreateLogGroup",
        "cloudwatch:DescribeAlarms",
        "iam:ListRoles",
        "application-autoscaling:DescribeScalableTargets",
        "sagemaker:InvokeEndpoint",
    ]
    assert front.requests("PutObject")[0]["Key"] == "a/x y"


def test_faults_are_errors_as_aws_has_them(front: Front) -> None:
    clients = [boto3.client(name, config=ONCE) for name in ("sagemaker", "s3", "sts", "cloudwatch")]
    calls = [
        lambda: clients[0].list_models(),
        lambda: clients[1].list_buckets(),
        lambda: clients[2].get_caller_identity(),
        lambda: clients[3].describe_alarms(),
    ]
    for call in calls:
        front.fail("*", throttled())
        with pytest.raises(ClientError, match=r"Throttling|SlowDown"):
            call()
        front.fail("*", expired())
        with pytest.raises(ClientError, match="ExpiredToken"):
            call()
        front.fail("*", failing(503))
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        front.fail("*", dropped())
        with pytest.raises(ConnectionClosedError):
            call()
        call()
    front.fail("ListModels", late(1.5))
    with pytest.raises(ReadTimeoutError):
        boto3.client("sagemaker", config=ONCE.merge(Config(read_timeout=1))).list_models()


def test_a_fault_comes_at_its_call_and_a_client_tries_again(front: Front) -> None:
    patient = boto3.client("sagemaker")
    front.fail("ListModels", failing(), at=2, times=2)
    patient.list_models()
    assert front.operations() == ["ListModels"]
    patient.list_models()
    assert front.operations() == ["ListModels"] * 4


def test_an_answer_can_be_lost_after_the_work(front: Front) -> None:
    hasty = boto3.client("sagemaker", config=ONCE)
    front.fail("CreateTrainingJob", lost())
    with pytest.raises(ConnectionClosedError):
        hasty.create_training_job(**JOB)
    assert _status(hasty) == "Completed"
    with pytest.raises(ClientError, match="ResourceInUse"):
        hasty.create_training_job(**JOB)


def test_a_request_that_sagemaker_would_refuse_is_refused(front: Front) -> None:
    bad = {**JOB, "ResourceConfig": {**JOB["ResourceConfig"], "InstanceType": "ml.none.large"}}
    with pytest.raises(ClientError, match=r"ml\.none\.large"):
        boto3.client("sagemaker").create_training_job(**bad)


def test_a_job_goes_through_the_steps_that_are_named_and_can_be_stopped(front: Front) -> None:
    sagemaker = boto3.client("sagemaker")
    steps = [
        {"TrainingJobStatus": "InProgress", "SecondaryStatus": name}
        for name in ("Starting", "Downloading", "Training")
    ]
    front.steps("TrainingJob", *steps)
    sagemaker.create_training_job(**JOB)
    (listed,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert listed["TrainingJobStatus"] == "InProgress"
    found = sagemaker.describe_training_job(TrainingJobName="j")
    assert (found["SecondaryStatus"], "ModelArtifacts" in found) == ("Starting", False)
    sagemaker.stop_training_job(TrainingJobName="j")
    assert [_status(sagemaker) for _ in range(3)] == ["Stopping", "Stopped", "Stopped"]
    found = sagemaker.describe_training_job(TrainingJobName="j")
    told = [it["Status"] for it in found["SecondaryStatusTransitions"]]
    assert told == ["Starting", "Stopping", "Stopped"]
    with pytest.raises(ClientError, match="must be InProgress"):
        sagemaker.stop_training_job(TrainingJobName="j")
    with pytest.raises(ClientError, match="not found"):
        sagemaker.stop_training_job(TrainingJobName="other")


def test_an_endpoint_is_updated(front: Front) -> None:
    sagemaker = boto3.client("sagemaker")
    container = {"Image": "i", "ModelDataUrl": "s3://b/model.tar.gz"}
    sagemaker.create_model(
        ModelName="m", PrimaryContainer=container, ExecutionRoleArn=JOB["RoleArn"]
    )
    for name in ("one", "two"):
        variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
        variants = [{**variant, "InitialInstanceCount": 1}]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="one")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="two")
    with pytest.raises(ClientError, match="in-progress"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="one")
    found = [sagemaker.describe_endpoint(EndpointName="e") for _ in range(2)]
    assert [it["EndpointStatus"] for it in found] == ["Updating", "InService"]
    assert [it["EndpointConfigName"] for it in found] == ["one", "two"]
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.update_endpoint(EndpointName="none", EndpointConfigName="one")


def test_a_test_can_answer_itself(front: Front) -> None:
    said = json.dumps([{"label": "acceptable", "score": 0.9}]).encode()
    front.answers["InvokeEndpoint"] = lambda _call: (
        200,
        {"Content-Type": "application/json"},
        said,
    )
    runtime = boto3.client("sagemaker-runtime")
    found = runtime.invoke_endpoint(EndpointName="e", Body=b'{"inputs": ["a"]}')
    assert found["Body"].read() == said
    assert front.calls[-1].body == b'{"inputs": ["a"]}'
