"""Batch transform's files of lines, and which of its fields have no effect here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from byoc.launch import transform_fields, transform_lines
from byoc.launch.errors import LaunchError
from byoc.launch.transform import TransformJob, request
from byoc.launch.uris import to_uri

ODD = b"a\r\n\n\xe2\x80\xa8b\x0bc\rd\nlast"


def payloads(path: Path, megabytes: int = 1, **how: bool) -> list[bytes]:
    chosen = {"is_split": True, "is_single": False} | how
    return list(transform_lines.payloads(path, megabytes=megabytes, **chosen))


def test_payloads_hold_whole_lines_and_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    lines = [b"x" * (number % 5000) + b"\n" for number in range(3000)]
    path.write_bytes(b"".join(lines))
    found = payloads(path)
    assert b"".join(found) == path.read_bytes()
    assert all(len(body) <= 1024 * 1024 and body.endswith(b"\n") for body in found)
    assert len(found) == -(-path.stat().st_size // 2**20)


def test_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(ODD)
    assert payloads(path, is_single=True) == [
        b"a\r\n",
        b"\n",
        b"\xe2\x80\xa8b\x0bc\rd\n",
        b"last",
    ]
    assert payloads(path) == [ODD]
    assert payloads(path, is_split=False) == [ODD]


def test_a_line_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\n" + b"b" * 2**20 + b"\n")
    with pytest.raises(LaunchError, match="line 2 has more than 1 MB"):
        payloads(path)


@pytest.mark.parametrize(
    ("kind", "given", "found", "joined"),
    [
        ("text/csv", "a\nb\n", "yes,0.5\n,,bad\n", "a,yes,0.5\nb,,,bad\n"),
        (
            "application/jsonlines",
            '{"text": "a"}\n"b"\nno\n',
            '{"label": "yes"}\n{"label": "no"}\n{"error": "bad"}\n',
            '{"text": "a", "SageMakerOutput": {"label": "yes"}}\n'
            '{"SageMakerInput": "b", "SageMakerOutput": {"label": "no"}}\n'
            '{"SageMakerInput": "no", "SageMakerOutput": {"error": "bad"}}\n',
        ),
    ],
)
def test_output_is_joined_to_its_input(
    tmp_path: Path, kind: str, given: str, found: str, joined: str
) -> None:
    (tmp_path / "in").write_text(given)
    (tmp_path / "out").write_text(found)
    transform_lines.join(tmp_path / "in", tmp_path / "out", kind)
    assert (tmp_path / "out").read_text() == joined
    (tmp_path / "in").write_text(given + "more\n")
    with pytest.raises(LaunchError, match="fewer lines"):
        transform_lines.join(tmp_path / "in", tmp_path / "out", kind)


def job(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    (tmp_path / "in.csv").write_text("a\n")
    uri = to_uri(tmp_path)
    return request(TransformJob("a", "a", f"{uri}/in.csv", uri, "text/csv")) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"TransformResources": {"InstanceType": "local", "InstanceCount": 2}},
        {"DataProcessing": {"InputFilter": "$[1:]"}},
        {
            "DataProcessing": {"JoinSource": "Input"},
            "TransformOutput": {"S3OutputPath": "file:///"},
        },
        {"TransformOutput": {"S3OutputPath": "s3://bucket/out"}},
    ],
)
def test_what_would_change_the_result_is_refused(tmp_path: Path, changes: Any) -> None:
    transform_fields.check(job(tmp_path), "process")
    with pytest.raises(LaunchError):
        transform_fields.check(job(tmp_path, **changes), "process")


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    found = job(tmp_path, DataCaptureConfig={}, MaxConcurrentTransforms=2)
    assert len(transform_fields.ignored(found, "local")) == 2
    assert len(transform_fields.ignored(found, "process", frozenset(found))) == 0


def test_the_container_is_told_of_the_transform(tmp_path: Path) -> None:
    found = transform_fields.variables(
        job(tmp_path, MaxPayloadInMB=3, BatchStrategy="SingleRecord", Environment={"A": "b"})
    )
    assert found == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "3",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "A": "b",
    }
    assert json.dumps(found)
