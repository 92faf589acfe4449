"""build_and_push.sh against a real registry and moto's ECR."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from pushing import Images, Registry, commit_all, free_port

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture
def docker_config(tmp_path: Path) -> Path:
    folder = tmp_path / "docker"
    folder.mkdir()
    return folder


@pytest.fixture
def run(clean_checkout: Path, docker_config: Path) -> Run:
    """Runs the script in a clean checkout, without any AWS or Docker login of this machine."""

    def run(*arguments: str, folder: Path = clean_checkout, **environment: str) -> Done:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        fixed = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "BYOC_PYTHON": sys.executable,
            "DOCKER_CONFIG": str(docker_config),
        }
        command = [str(folder / "build_and_push.sh"), *arguments]
        return subprocess.run(
            command, env=kept | fixed | environment, capture_output=True, text=True
        )

    return run


@pytest.fixture
def push(run: Run, registry: Registry) -> Run:
    """Pushes the stand-in images with the tag given to the registry without a login."""

    def push(what: str, tag: str, *arguments: str, **environment: str) -> Done:
        fixed = ("--skip-build", "--push", "--registry", registry.host, "--repository", tag)
        return run(what, "--tag", tag, *fixed, *arguments, **environment)

    return push


def last_line(done: Done) -> str:
    return done.stderr.strip().splitlines()[-1]


def oci_manifest(manifest: dict[str, Any]) -> bytes:
    """The same image as an OCI manifest."""
    config = manifest["config"] | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    layer_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    layers = [layer | {"mediaType": layer_type} for layer in manifest["layers"]]
    body = {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": layers}
    return json.dumps(body).encode()


def test_push_prints_digests_and_leaves_schema_2(
    images: Images, push: Run, registry: Registry
) -> None:
    tag = images.make("training", "serving")
    done = push("all", tag)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["training", "serving"]
    for name, digest, uri in lines:
        reply = registry.manifest(f"{tag}-{name}", tag)
        assert uri == f"{registry.host}/{tag}-{name}:{tag}"
        assert reply.headers["Docker-Content-Digest"] == digest
        assert reply.headers["Content-Type"] == SCHEMA_2


def test_push_again_is_success_with_the_same_output(images: Images, push: Run) -> None:
    tag = images.make("training")
    first, second = push("training", tag), push("training", tag)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert first.stdout == second.stdout != ""
    assert "already" in second.stderr


def test_same_tag_with_other_content_is_a_conflict(
    images: Images, push: Run, registry: Registry
) -> None:
    tag = images.make("training", "serving")
    images.push("serving", f"{registry.host}/{tag}-serving")
    digest = registry.manifest(f"{tag}-serving", tag).headers["Docker-Content-Digest"]
    images.make("serving", content=b"2")
    done = push("all", tag)
    assert done.returncode == 8, done.stderr
    assert digest in last_line(done)
    assert "other content" in last_line(done)
    assert registry.manifest(f"{tag}-serving", tag).headers["Docker-Content-Digest"] == digest
    assert f"{tag}-training" not in registry.repositories()  # every tag is looked at first


@pytest.mark.parametrize("kind", [OCI, OCI_INDEX])
def test_what_hosting_refuses_is_found_in_the_registry(
    images: Images, push: Run, registry: Registry, kind: str
) -> None:
    tag = images.make("training")
    assert push("training", tag).returncode == 0
    replace_manifest(registry, f"{tag}-training", tag, kind)
    done = push("training", tag)
    assert done.returncode == 9, done.stderr
    assert {OCI: "an OCI manifest", OCI_INDEX: "an OCI index"}[kind] in last_line(done)


def test_a_push_that_arrives_as_oci_fails(
    images: Images, push: Run, registry: Registry, tmp_path: Path
) -> None:
    """As from a containerd image store: here a `docker` whose push converts what it sent."""
    tag = images.make("training")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "docker"
    tests = Path(__file__).parent
    wrapper.write_text(
        f"""#!{sys.executable}
import subprocess, sys
sys.path.insert(0, {str(tests)!r})
status = subprocess.run([{shutil.which("docker")!r}, *sys.argv[1:]]).returncode
if sys.argv[1] == "push":
    from pushing import Registry
    from test_build_and_push import OCI, replace_manifest
    replace_manifest(Registry({registry.host!r}), {f"{tag}-training"!r}, {tag!r}, OCI)
sys.exit(status)
"""
    )
    wrapper.chmod(0o755)
    done = push("training", tag, PATH=f"{wrapper.parent}:{os.environ['PATH']}")
    assert done.returncode == 9, done.stderr
    assert "SageMaker hosting refuses it" in last_line(done)
    assert done.stdout == ""


def test_ecr_repository_login_and_push(
    images: Images, run: Run, aws: dict[str, str], ecr_registry: Registry, docker_config: Path
) -> None:
    tag = images.make("training")
    arguments = ["training", "--tag", tag, "--skip-build", "--push", "--repository", "team/byoc"]
    done = run(*arguments, "--registry", ecr_registry.host, "--ecr", **aws)
    assert done.returncode == 0, done.stderr
    assert ecr_registry.manifest("team/byoc-training", tag).headers["Content-Type"] == SCHEMA_2
    ecr = client("ecr", aws)
    (found,) = ecr.describe_repositories()["repositories"]
    assert found["repositoryName"] == "team/byoc-training"
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}
    policy = ecr.get_lifecycle_policy(repositoryName=found["repositoryName"])
    assert "untagged" in policy["lifecyclePolicyText"]
    assert list(docker_config.iterdir()) == []  # the login is gone
    again = run(*arguments, "--registry", ecr_registry.host, "--ecr", **aws)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr


def test_password_is_on_no_command_line(
    images: Images, run: Run, aws: dict[str, str], ecr_registry: Registry, tmp_path: Path
) -> None:
    tag = images.make("training")
    (tmp_path / "bin").mkdir()
    seen = tmp_path / "seen"
    wrapper = tmp_path / "bin" / "docker"
    wrapper.write_text(
        f'#!/bin/sh\necho "$@" >>{seen}\nenv >>{seen}\nexec {shutil.which("docker")} "$@"\n'
    )
    wrapper.chmod(0o755)
    environment = aws | {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    arguments = ["training", "--tag", tag, "--skip-build", "--push", "--ecr"]
    done = run(*arguments, "--registry", ecr_registry.host, **environment)
    assert done.returncode == 0, done.stderr
    assert "login" in seen.read_text()
    assert "auth-token" not in seen.read_text() + done.stderr + done.stdout


def test_without_push_nothing_leaves_and_no_account_is_needed(
    images: Images, run: Run, registry: Registry
) -> None:
    before = registry.repositories()
    tag = images.make("training", "serving")
    done = run("all", "--tag", tag, "--skip-build", "--registry", registry.host)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "smoke test passed" in done.stderr
    assert registry.repositories() == before


def test_smoke_test_fails(images: Images, push: Run, registry: Registry) -> None:
    tag = images.make("training")
    images.make("serving", working=False)
    done = push("all", tag)
    assert done.returncode == 7, done.stderr
    assert f"byoc-serving:{tag}" in last_line(done)
    assert "nothing was pushed" in last_line(done)
    assert f"{tag}-training" not in registry.repositories()


def test_no_container_is_left(images: Images, push: Run) -> None:
    tag = images.make("training", "serving")
    push("all", tag)
    listed = ["docker", "ps", "--all", "--format", "{{.Image}}"]
    assert tag not in subprocess.run(listed, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 4, "no AWS credentials"),
        ({"AWS_REGION": "eu-nowhere-1"}, 5, "'eu-nowhere-1' is no AWS region"),
        ({"AWS_REGION": ""}, 5, "no AWS region"),
        ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, 5, "Could not connect"),
    ],
)
def test_aws_faults_come_before_any_build(
    run: Run, aws: dict[str, str], changes: dict[str, str], code: int, words: str
) -> None:
    done = run("all", "--push", **(aws | changes))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_dirty_tree_is_refused_for_a_push(
    clean_checkout: Path, run: Run, registry: Registry, tmp_path: Path
) -> None:
    dirty = shutil.copytree(clean_checkout, tmp_path / "dirty", symlinks=True)
    (dirty / "code" / "stray.py").touch()
    arguments = ["training", "--registry", registry.host, "--dry-run"]
    done = run(*arguments, "--push", folder=dirty)
    assert done.returncode == 3
    assert "stray.py" in last_line(done)
    assert "-dirty-cpu" in run(*arguments, folder=dirty).stdout


def test_failed_build(clean_checkout: Path, run: Run, registry: Registry, tmp_path: Path) -> None:
    broken = shutil.copytree(clean_checkout, tmp_path / "broken", symlinks=True)
    (broken / "docker" / "training.Dockerfile").write_text("FROM scratch\nNOT AN INSTRUCTION\n")
    commit_all(broken)
    before = registry.repositories()
    done = run("training", "--push", "--registry", registry.host, folder=broken)
    assert done.returncode == 6, done.stderr
    assert "nothing was pushed" in last_line(done)
    assert registry.repositories() == before


def test_image_that_is_not_there(engine: None, run: Run) -> None:
    done = run("training", "--skip-build", "--tag", "never-built")
    assert done.returncode == 6
    assert "byoc-training:never-built" in last_line(done)


def test_registry_that_does_not_answer(images: Images, run: Run) -> None:
    tag = images.make("training")
    host = f"127.0.0.1:{free_port()}"
    done = run("training", "--tag", tag, "--skip-build", "--push", "--registry", host)
    assert done.returncode == 10, done.stderr
    assert host in last_line(done)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tag", "latest"],
        ["--tag", "no/tag"],
        ["--tag"],
        ["--accelerator", "tpu"],
        ["--repository", "Upper"],
        ["--registry", "http://host"],
        ["--platform", "linux/amd64,linux/arm64"],
        ["--ecr"],
        ["--wrong"],
        ["inference"],
    ],
)
def test_bad_usage(run: Run, arguments: list[str]) -> None:
    done = run(*arguments, "--dry-run")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_dry_run_says_all_and_changes_nothing(
    run: Run, aws: dict[str, str], clean_checkout: Path
) -> None:
    done = run("all", "--push", "--dry-run", **aws)
    assert done.returncode == 0, done.stderr
    ask = ["git", "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(ask, cwd=clean_checkout, capture_output=True, text=True).stdout.strip()
    host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    assert f"would push {host}/byoc-serving:{head}-cpu" in done.stdout
    assert client("ecr", aws).describe_repositories()["repositories"] == []


@pytest.mark.skipif(not os.environ.get("BYOC_LONG"), reason="pushes 1.5 GB: make test-aws")
@pytest.mark.timeout(900)
def test_real_image_is_built_and_pushed_with_a_container_builder_selected(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    """A docker-container builder would make OCI; the build goes round it."""
    builder = {"BUILDX_CONFIG": str(tmp_path / "buildx"), "BUILDX_BUILDER": "other"}
    create = ["docker", "buildx", "create", "--name", "other", "--driver", "docker-container"]
    subprocess.run(create, env=os.environ | builder, check=True, capture_output=True)
    done = run("training", "--push", "--registry", registry.host, **builder)
    assert done.returncode == 0, done.stderr
    _, digest, uri = done.stdout.split()
    tag = uri.rpartition(":")[2]
    try:
        reply = registry.manifest("byoc-training", tag)
        assert reply.headers["Docker-Content-Digest"] == digest
        assert reply.headers["Content-Type"] == SCHEMA_2
    finally:
        subprocess.run(["docker", "rmi", uri, f"byoc-training:{tag}"], capture_output=True)


def replace_manifest(registry: Registry, name: str, tag: str, kind: str) -> None:
    """The tag's manifest, a Docker one, becomes an OCI manifest or an index of one."""
    body = oci_manifest(registry.manifest(name, tag).json())
    registry.put_manifest(name, tag, OCI, body)
    if kind == OCI_INDEX:
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        platform = {"os": "linux", "architecture": "amd64"}
        entry = {"mediaType": OCI, "digest": digest, "size": len(body), "platform": platform}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        registry.put_manifest(name, tag, OCI_INDEX, json.dumps(index).encode())


def client(service: str, aws: dict[str, str]) -> Any:
    """boto3's client of moto."""
    return boto3.client(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
