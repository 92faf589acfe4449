from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from byoc.launch.registry import (
    SCHEMA_2,
    SCHEMA_2_CONFIG,
    Manifest,
    docker_credentials,
    is_local,
    manifest_fault,
    parse_challenge,
    same_image,
)

LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = "application/vnd.oci.image.manifest.v1+json"


def manifest(media_type: str = SCHEMA_2, **changes: Any) -> Manifest:
    body = {
        "schemaVersion": 2,
        "mediaType": SCHEMA_2,
        "config": {"mediaType": SCHEMA_2_CONFIG, "digest": "sha256:config"},
        "layers": [{"mediaType": LAYER, "digest": "sha256:layer"}],
    }
    return Manifest("sha256:manifest", media_type, body | changes)


def test_docker_schema_2_has_no_fault() -> None:
    assert manifest_fault(manifest()) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (manifest(OCI, mediaType=OCI), "an OCI manifest"),
        (manifest(OCI), "an OCI manifest"),
        (manifest(mediaType=OCI), "an OCI manifest"),
        (manifest("application/vnd.oci.image.index.v1+json"), "an OCI index"),
        (
            manifest("application/vnd.docker.distribution.manifest.list.v2+json"),
            "a Docker manifest list",
        ),
        (manifest("application/json", mediaType="application/json"), "'application/json'"),
        (manifest(schemaVersion=1), "schemaVersion"),
        (manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json"}), "config"),
        (manifest(config=None), "config"),
        (manifest(layers=[{"mediaType": "application/vnd.oci.image.layer.v1.tar"}]), "layer"),
    ],
)
def test_what_hosting_refuses_has_a_fault(found: Manifest, words: str) -> None:
    assert words in (manifest_fault(found) or "")


def test_an_image_is_known_by_config_or_manifest_digest() -> None:
    assert same_image(manifest(), "sha256:config")
    assert same_image(manifest(), "sha256:manifest")
    assert not same_image(manifest(), "sha256:other")
    assert not same_image(Manifest("sha256:index", OCI, {}), "sha256:config")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("localhost.example", False),
        ("127.example:5000", False),
        ("1.dkr.ecr.eu-central-1.amazonaws.com", False),
    ],
)
def test_only_this_machine_is_asked_over_plain_http(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_challenge_of_a_token_server() -> None:
    scheme, fields = parse_challenge('Bearer realm="https://a/token",service="a",scope="pull"')
    assert scheme == "bearer"
    assert fields == {"realm": "https://a/token", "service": "a", "scope": "pull"}
    assert parse_challenge("") == ("", {})


def write_docker_config(folder: Path, content: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    (folder / "config.json").write_text(json.dumps(content))


def test_login_comes_from_dockers_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = base64.b64encode(b"user:pass:word").decode()
    write_docker_config(tmp_path, {"auths": {"host:1": {"auth": auth}}}, monkeypatch)
    assert docker_credentials("host:1") == ("user", "pass:word")
    assert docker_credentials("host:2") is None


def test_login_comes_from_dockers_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_docker_config(tmp_path, {"credHelpers": {"host": "test"}}, monkeypatch)
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\necho \'{"Username": "user", "Secret": "secret"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert docker_credentials("host") == ("user", "secret")
    assert docker_credentials("other") is None


def test_a_missing_helper_or_configuration_is_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    assert docker_credentials("host") is None
    write_docker_config(tmp_path, {"credsStore": "never-installed"}, monkeypatch)
    assert docker_credentials("host") is None
