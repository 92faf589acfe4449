from __future__ import annotations

from typing import Any

import pytest

from byoc.launch import ecr
from byoc.launch.ecr import CONFLICT, CREDENTIALS, MANIFEST, PUSH, REGION, PushError
from byoc.launch.registry import SCHEMA_2, SCHEMA_2_CONFIG, Manifest, RegistryError

GOOD = Manifest(
    "sha256:manifest",
    SCHEMA_2,
    {
        "schemaVersion": 2,
        "config": {"mediaType": SCHEMA_2_CONFIG, "digest": "sha256:id"},
        "layers": [],
    },
)
INDEX = Manifest("sha256:index", "application/vnd.oci.image.index.v1+json", {"schemaVersion": 2})


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the registry has under every tag."""

    def there(manifest: Manifest | None) -> None:
        monkeypatch.setattr(ecr, "read_manifest", lambda *_: manifest)

    return there


def code_of(call: Any, image_id: str) -> int:
    with pytest.raises(PushError) as caught:
        call("host", "name", "tag", image_id)
    return caught.value.code


def test_lookup(there: Any) -> None:
    there(None)
    assert ecr.lookup("host", "name", "tag", "sha256:id") is None
    there(GOOD)
    assert ecr.lookup("host", "name", "tag", "sha256:id") == "sha256:manifest"
    assert code_of(ecr.lookup, "sha256:other") == CONFLICT
    there(INDEX)
    assert code_of(ecr.lookup, "sha256:id") == MANIFEST


def test_verify(there: Any) -> None:
    there(GOOD)
    assert ecr.verify("host", "name", "tag", "sha256:id") == "sha256:manifest"
    assert code_of(ecr.verify, "sha256:other") == CONFLICT
    there(INDEX)
    assert code_of(ecr.verify, "sha256:id") == MANIFEST
    there(None)
    assert code_of(ecr.verify, "sha256:id") == PUSH


def test_region() -> None:
    ecr.require_region("eu-central-1", {"eu-central-1"})
    for region in (None, "", "eu-nowhere-1"):
        with pytest.raises(PushError) as caught:
            ecr.require_region(region, {"eu-central-1"})
        assert caught.value.code == REGION


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("InvalidClientTokenId", 403, CREDENTIALS),
        ("ExpiredTokenException", 400, CREDENTIALS),
        ("UnrecognizedClientException", 400, CREDENTIALS),
        ("AccessDeniedException", 400, CREDENTIALS),
        ("LimitExceededException", 400, PUSH),
        ("ServerException", 500, PUSH),
    ],
)
def test_exit_code_of_what_aws_answers(name: str, status: int, code: int) -> None:
    response = {"Error": {"Code": name}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert ecr.client_error_code(response) == code


def test_main_says_a_fault_in_one_line(
    there: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there(INDEX)
    assert ecr.main(["verify", "host", "name", "tag", "sha256:id"]) == MANIFEST
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1

    def silent(*_: str) -> Manifest:
        raise RegistryError("the registry does\nnot answer")

    monkeypatch.setattr(ecr, "read_manifest", silent)
    assert ecr.main(["lookup", "host", "name", "tag", "sha256:id"]) == PUSH
    assert capsys.readouterr().err == "build_and_push: the registry does not answer\n"


def test_lifecycle_touches_no_tagged_image() -> None:
    assert [rule["selection"]["tagStatus"] for rule in ecr.LIFECYCLE_POLICY["rules"]] == [
        "untagged"
    ]
