"""docs/guide/cola.sh with WHERE=sagemaker: the same text, all its requests to moto's AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
from account import ACCOUNT, HOST, REGION, ROLE, Account, put_image
from front import Call, Front

from byoc import archive

SCRIPT = Path(__file__).parents[2] / "docs/guide/cola.sh"
TRIAL = {
    "TrainingJobName": "cola-001-0a1b2c3d",
    "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/cola-001-0a1b2c3d",
    "CreationTime": 1.8e9,
    "TrainingJobStatus": "Completed",
    "TunedHyperParameters": {"lr": "0.001", "warmup-ratio": "0.1"},
    "ObjectiveStatus": "Succeeded",
    "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "val_mcc", "Value": 0.5},
}
SENT = (
    *("CreateTrainingJob", "CreateHyperParameterTuningJob", "CreateModel", "CreateEndpointConfig"),
    *("CreateEndpoint", "CreateTransformJob", "DeleteEndpoint", "DeleteEndpointConfig"),
    *("DeleteModel", "InvokeEndpoint"),
)


def _answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    texts = json.loads(call.body)["inputs"]
    found = [{"label": "acceptable", "score": 0.9} for _ in texts]
    return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()


def _job_output(folder: Path) -> bytes:
    """output.tar.gz as a job leaves it."""
    made = folder / "made"
    made.mkdir()
    (made / "metrics.jsonl").write_text('{"step": 1, "epoch": 0.1, "train_loss": 0.5}\n')
    archive.pack(made, folder / "output.tar.gz")
    return (folder / "output.tar.gz").read_bytes()


def test_the_whole_path_sends_every_request(front: Front, account: Account, tmp_path: Path) -> None:
    boto3.client("ecr").create_repository(repositoryName="byoc-serving")
    put_image("byoc-serving", "1")
    body = _job_output(tmp_path)
    boto3.client("s3").put_object(
        Bucket=account.bucket, Key="out/cola/output/output.tar.gz", Body=body
    )
    front.trials[""] = [TRIAL]
    front.answers["InvokeEndpoint"] = _answer
    front.calls.clear()
    work = tmp_path / "work"
    work.mkdir()
    given = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{"WHERE": "sagemaker", "NAME": "cola", "SIZE": "400", "BUCKET": account.bucket},
        **{"ROLE": ROLE, "INSTANCE": "ml.g4dn.xlarge", "TRAINING_IMAGE": account.image},
        "SERVING_IMAGE": f"{HOST}/byoc-serving:1",
    }
    done = subprocess.run([SCRIPT], cwd=work, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert set(SENT) <= set(front.operations())
    (job,) = front.requests("CreateTrainingJob")
    (tuning,) = front.requests("CreateHyperParameterTuningJob")
    for request in (job, tuning["TrainingJobDefinition"]):
        assert "@sha256:" in request["AlgorithmSpecification"]["TrainingImage"]
        uris = [it["DataSource"]["S3DataSource"]["S3Uri"] for it in request["InputDataConfig"]]
        assert all(uri.startswith(f"s3://{account.bucket}/acceptability/") for uri in uris)
    assert job["HyperParameters"]["debug"] == "true"
    artifact = f"s3://{account.bucket}/out/cola/output/model.tar.gz"
    models = [it["PrimaryContainer"]["ModelDataUrl"] for it in front.requests("CreateModel")]
    assert models == [artifact, artifact], "of the endpoint and of the transform"
    pinned = [it["PrimaryContainer"]["Image"] for it in front.requests("CreateModel")]
    assert all(image.startswith(f"{HOST}/byoc-serving@sha256:") for image in pinned)
    assert f"model: {artifact}" in done.stdout
    assert (work / "report/report.html").is_file()
    assert (work / "out/tune/cola/tuning.html").is_file()
    assert "nothing is running" in done.stdout
    assert not boto3.client("sagemaker").list_models()["Models"]
