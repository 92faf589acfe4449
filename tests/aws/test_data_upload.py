"""`byoc data upload` and `byoc data model` against moto's S3, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from slow_proxy import proxy

from byoc import cli
from byoc.corpus import write_corpus

CAPTURE = pytest.CaptureFixture[str]
REGION = "eu-central-1"


@pytest.fixture
def s3(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "raw", size=400)
    assert cli.run(["data", "prepare", str(tmp_path / "raw"), str(tmp_path / "set")]) == 0
    return tmp_path / "set"


def keys(s3: Any) -> dict[str, Any]:
    found = s3.list_objects_v2(Bucket="data").get("Contents", ())
    return {entry["Key"]: entry for entry in found}


def run(capsys: CAPTURE, *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert cli.run(["data", *arguments]) == code
    told = capsys.readouterr()
    return told.out, told.err


def test_a_data_set_lies_under_its_content_and_is_sent_once(
    s3: Any, prepared: Path, capsys: CAPTURE
) -> None:
    out, _ = run(capsys, "upload", str(prepared), "s3://data/sets")
    channels = dict(line.split() for line in out.splitlines())
    assert list(channels) == ["train", "validation", "test"]
    base = channels["train"].removeprefix("s3://data/").removesuffix("train/")
    assert base.split("/")[0] == "sets"
    assert len(base.split("/")[1]) == 64
    there = keys(s3)
    names = ["manifest.json", "upload.json", *(f"{x}/{x}.parquet" for x in channels)]
    assert set(there) == {base + name for name in names}
    for split in channels:
        content = (prepared / split / f"{split}.parquet").read_bytes()
        found = s3.get_object(
            Bucket="data", Key=f"{base}{split}/{split}.parquet", ChecksumMode="ENABLED"
        )
        assert found["Body"].read() == content
        digest = hashlib.sha256(content).digest()
        assert found["ChecksumSHA256"] == base64.b64encode(digest).decode()
    record = json.loads(s3.get_object(Bucket="data", Key=f"{base}upload.json")["Body"].read())
    assert len(record["files"]) == 4
    assert run(capsys, "upload", str(prepared), "s3://data/sets")[0] == out
    assert "nothing was sent" in run(capsys, "upload", str(prepared), "s3://data/sets")[1]
    assert {key: entry["LastModified"] for key, entry in keys(s3).items()} == {
        key: entry["LastModified"] for key, entry in there.items()
    }


def test_a_killed_upload_goes_on_and_sends_no_part_twice(
    s3: Any, moto_server: str, tmp_path: Path, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four parts get through, then SIGKILL."""
    folder = tmp_path / "train"
    folder.mkdir()
    line = b"sentence\tlabel\n" + os.urandom(16).hex().encode() + b"\t1\n"
    (folder / "big.tsv").write_bytes(line + os.urandom(15 << 20).hex().encode())
    with proxy(moto_server) as between:
        between.most = 2
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        code = "import sys; from byoc.cli import run; sys.exit(run(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "data", "upload", str(tmp_path), "s3://data"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert between.held.wait(60)
        while between.parts.total() < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        between.release()
        assert not keys(s3)
        assert between.parts.total() == 2
        between.most = None
        run(capsys, "upload", str(tmp_path), "s3://data")
        assert between.parts == {"1": 1, "2": 1, "3": 1, "4": 1}
        (key,) = (key for key in keys(s3) if key.endswith("big.tsv"))
        found = s3.get_object(Bucket="data", Key=key)["Body"].read()
        assert found == (folder / "big.tsv").read_bytes()
        assert between.puts[-1].endswith("/upload.json")


def test_what_is_there_already_is_left(
    s3: Any, moto_server: str, prepared: Path, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ended before its record was written: only that is sent."""
    out, _ = run(capsys, "upload", str(prepared), "s3://data/a/b")
    (record,) = (key for key in keys(s3) if key.endswith("upload.json"))
    s3.delete_object(Bucket="data", Key=record)
    with proxy(moto_server) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        assert run(capsys, "upload", str(prepared), "s3://data/a/b")[0] == out
        assert between.puts == [f"/data/{record}"]


def test_a_kms_key_encrypts_every_object(s3: Any, prepared: Path, capsys: CAPTURE) -> None:
    key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    run(capsys, "upload", str(prepared), "s3://data", "--kms-key", key)
    for name in keys(s3):
        found = s3.head_object(Bucket="data", Key=name)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)
    _, err = run(capsys, "upload", str(prepared), "s3://data", code=1)
    assert "take another prefix" in err


def test_a_data_set_that_is_not_what_its_manifest_says_is_refused(
    s3: Any, prepared: Path, capsys: CAPTURE
) -> None:
    path = prepared / "train/train.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    _, err = run(capsys, "upload", str(prepared), "s3://data", code=1)
    assert "is not what manifest.json says: run `byoc data prepare` again" in err
    assert not keys(s3)


@contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """S3 that refuses everything in S3's own words."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "ExpiredToken", "have expired (ExpiredToken): sign in again"),
        (403, "InvalidAccessKeyId", "does not know these credentials"),
        (403, "AccessDenied", "the caller needs s3:ListBucket there"),
    ],
)
def test_refusals_say_what_to_do(
    prepared: Path,
    aws: dict[str, str],
    capsys: CAPTURE,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    words: str,
) -> None:
    with refusing(status, code) as url:
        for name, value in {**aws, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        _, err = run(capsys, "upload", str(prepared), "s3://data", code=1)
    (line,) = err.splitlines()
    assert words in line


def test_wrong_buckets_and_addresses_are_one_line(
    s3: Any, prepared: Path, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = run(capsys, "upload", str(prepared), "s3://not-there", code=1)
    assert "there is no bucket not-there: check its name, or make it with `aws s3 mb" in err
    boto3.client("s3", region_name="eu-west-1").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    _, err = run(capsys, "upload", str(prepared), "s3://far/x", code=1)
    assert "is in eu-west-1, but the region here is eu-central-1" in err
    assert "AWS_REGION=eu-west-1" in err
    _, err = run(capsys, "upload", str(prepared), "data/x", code=1)
    assert "is not of the form s3://BUCKET/PREFIX" in err
    _, err = run(capsys, "upload", "nowhere", "s3://data", code=1)
    assert "there is no folder or file nowhere" in err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    _, err = run(capsys, "upload", str(prepared), "s3://data", code=1)
    assert "no AWS credentials were found" in err


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    (folder / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "vocab.txt", "model.safetensors"):
        (folder / name).write_text(name)
    for name in ("pytorch_model.bin", "README.md", "onnx/config.json"):
        (folder / name).write_text("not wanted")
    return folder


def test_a_model_becomes_a_channel_without_its_pickles(
    s3: Any, encoder: Path, capsys: CAPTURE
) -> None:
    out, _ = run(capsys, "model", str(encoder), "s3://data/models")
    name, uri = out.split()
    assert name == "model"
    base = uri.removeprefix("s3://data/")
    found = {key.removeprefix(base) for key in keys(s3) if key.startswith(base)}
    wanted = {"config.json", "tokenizer.json", "vocab.txt", "model.safetensors"}
    assert found == wanted | {"byoc-model.json"}


def test_a_model_goes_to_a_folder_where_that_is_asked_for(
    encoder: Path, tmp_path: Path, capsys: CAPTURE
) -> None:
    run(capsys, "model", str(encoder), "--output", str(tmp_path / "here"))
    assert (tmp_path / "here/model.safetensors").read_text() == "model.safetensors"
    assert not (tmp_path / "here/pytorch_model.bin").exists()
    origin = json.loads((tmp_path / "here/byoc-model.json").read_text())
    assert origin["files"]["vocab.txt"] == hashlib.sha256(b"vocab.txt").hexdigest()


def test_models_that_a_job_would_not_read_are_refused(
    encoder: Path, tmp_path: Path, capsys: CAPTURE
) -> None:
    there = ("model", str(encoder), "--output", str(tmp_path / "here"))
    (encoder / "model.safetensors").unlink()
    _, err = run(capsys, *there, code=1)
    assert "weights as pickles only (pytorch_model.bin), and a pickle runs whatever code" in err
    (encoder / "pytorch_model.bin").unlink()
    assert "has no .safetensors weights" in run(capsys, *there, code=1)[1]
    assert not (tmp_path / "here").exists()
    assert "give one of" in run(capsys, "model", str(encoder), code=1)[1]
    assert "there is no folder ./no" in run(capsys, "model", "./no", "s3://data", code=1)[1]
