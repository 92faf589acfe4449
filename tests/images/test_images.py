"""What the two images are: size, configuration, contents."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SIZE_LIMITS = {"training": 1.6, "serving": 1.5}
"""Uncompressed, over the floor: the base, Python, torch and what torch needs."""

PROGRAMS = {"training": "train", "serving": "serve"}

REBUILD_SECONDS = 20


@pytest.fixture(scope="module")
def inside(docker: Any, image: str) -> dict[str, Any]:
    script = (HERE / "inside.py").read_text()
    words = ["run", "--rm", "-i", "--network", "none", image, "python3", "-"]
    found: dict[str, Any] = json.loads(docker(*words, stdin=script))
    return found


def shell(docker: Any, image: str, script: str) -> str:
    return str(docker("run", "--rm", "--network", "none", image, "bash", "-c", script)).strip()


def test_size(docker: Any, config: dict[str, Any], floor: str, name: str) -> None:
    least = int(docker("image", "inspect", "--format", "{{.Size}}", floor))
    ratio = config["Size"] / least
    print(f"{name}: {config['Size'] / 1e9:.2f} GB, {ratio:.2f} of the floor's {least / 1e9:.2f} GB")
    assert ratio <= SIZE_LIMITS[name]


def test_the_command_is_the_program_in_exec_form_and_there_is_no_entry_point(
    config: dict[str, Any], name: str
) -> None:
    assert config["Config"]["Cmd"] == [PROGRAMS[name]]
    assert not config["Config"].get("Entrypoint")


def test_it_runs_as_root_and_for_one_platform(config: dict[str, Any]) -> None:
    assert config["Config"].get("User", "") in ("", "root", "0")
    assert (config["Os"], config["Architecture"]) == ("linux", "amd64")


def test_oci_labels(config: dict[str, Any]) -> None:
    labels = config["Config"]["Labels"]
    for label in ("source", "revision", "version", "created"):
        assert f"org.opencontainers.image.{label}" in labels
    assert labels["org.opencontainers.image.version"]


def test_capability_labels_say_what_is_so(config: dict[str, Any], name: str) -> None:
    prefix = "com.amazonaws.sagemaker.capabilities."
    found = {key for key in config["Config"]["Labels"] if key.startswith(prefix)}
    expected = {prefix + "accept-bind-to-port"} if name == "serving" else set()
    assert expected <= found
    assert prefix + "multi-models" not in found or name == "serving"


def test_environment(config: dict[str, Any]) -> None:
    variables = dict(line.split("=", 1) for line in config["Config"]["Env"])
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert set(variables["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility"}
    # Only smdebug needs protobuf's slow form: it must not slow down everything else.
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" not in variables


def test_the_program_is_ours_and_not_the_toolkits(docker: Any, image: str, name: str) -> None:
    program = PROGRAMS[name]
    assert f"byoc.{name}" in shell(docker, image, f'cat "$(command -v {program})"')


def test_nothing_lies_under_opt_ml(docker: Any, image: str) -> None:
    assert shell(docker, image, "ls -A /opt/ml 2>/dev/null; true") == ""


def test_no_compiler_and_no_build_folder_is_left(docker: Any, image: str) -> None:
    assert (
        shell(docker, image, "command -v gcc cc uv; ls -d /build /wheels /run/secrets; true") == ""
    )


def test_the_kernels_are_compiled(docker: Any, image: str, name: str) -> None:
    """They are an optional part of the package, and without them serving is only slower."""
    if name != "serving" or platform.machine() != "x86_64":
        pytest.skip("the serving image's, on the CPUs that have 8-bit products")
    find = "from byoc.serving import fused; print(fused.library() is not None)"
    assert shell(docker, image, f"python3 -c '{find}'") == "True"


def test_bytecode_is_compiled_for_a_quick_start(docker: Any, image: str) -> None:
    compiled = "import torch, byoc.contract as b; print(torch.__cached__, b.__cached__)"
    for path in shell(docker, image, f"python3 -c '{compiled}'").split():
        assert shell(docker, image, f"ls {path}") == path


def test_packages_have_what_they_need(inside: dict[str, Any]) -> None:
    # smdebug is installed without its own pins on purpose.
    assert [need for need in inside["unmet"] if need[0] != "smdebug"] == []
    assert {need[1] for need in inside["unmet"]} <= {"protobuf"}


def test_every_package_is_there_once_in_its_locked_version(
    inside: dict[str, Any], name: str
) -> None:
    assert {name: all_ for name, all_ in inside["versions"].items() if len(all_) != 1} == {}
    locked = dict(
        line.split(" ")[0].split("==")
        for lock in (f"{name}.txt", "torch-cpu.txt")
        for line in (ROOT / "docker/requirements" / lock).read_text().splitlines()
        if "==" in line
    )
    found = {package: all_[0] for package, all_ in inside["versions"].items()}
    assert {package: found.get(package) for package in locked} == locked
    assert set(found) - set(locked) <= {"byoc", "smdebug"}


@pytest.fixture(scope="module")
def layers(docker: Any, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    archive = tmp_path_factory.mktemp("layers") / "image.tar"
    docker("save", "--output", str(archive), image)
    yield archive
    archive.unlink()


def host_secrets() -> dict[str, bytes]:
    """What must not be found in a layer: addresses, folders, certificates of this machine."""
    return {**_addresses(), **_certificates()}


def _addresses() -> dict[str, bytes]:
    """Indexes and folders from pip's configuration, but the index that pip itself names."""
    from pip._internal.models.index import PyPI

    listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
    words = {
        word
        for line in listed.splitlines()
        if any(key in line.split("=")[0] for key in ("index-url", "find-links"))
        for word in line.split("=", 1)[1].strip("'").split()
    }
    return {word: word.encode() for word in words if PyPI.netloc not in word}


def _certificates() -> dict[str, bytes]:
    """A line of each certificate in the host's bundle that is not one of the public ones."""
    bundle = Path(os.environ.get("SSL_CERT_FILE", ""))
    if not bundle.is_file():
        return {}
    public = certifi.contents() + "".join(
        path.read_text() for path in Path("/usr/share/ca-certificates").rglob("*.crt")
    )
    blocks = bundle.read_text().split("-----BEGIN CERTIFICATE-----")[1:]
    # The fifth line is well inside, past what certificates of one issuer have in common.
    lines = [block.split()[4] for block in blocks]
    return {f"certificate {line}": line.encode() for line in lines if line not in public}


def holds(archive: Path, needle: bytes) -> bool:
    return subprocess.run(["grep", "-qaF", "-e", needle, str(archive)]).returncode == 0


def test_nothing_of_this_machine_is_in_a_layer(layers: Path) -> None:
    assert holds(layers, b"model.safetensors"), (
        "the layers are compressed: look into them otherwise"
    )
    assert [what for what, needle in host_secrets().items() if holds(layers, needle)] == []


def test_the_history_holds_no_secret(docker: Any, image: str) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert [what for what, text in host_secrets().items() if text.decode() in history] == []
    assert "--mount=type=secret" not in history


@pytest.mark.timeout(300)
def test_a_change_of_code_rebuilds_quickly(
    docker: Any, build: Any, image: str, name: str, tmp_path: Path
) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for file in (ROOT / path for path in tracked):
        if file.is_file():
            target = tmp_path / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    with (tmp_path / "code/byoc/__init__.py").open("a") as out:
        out.write(f"\nCHANGED = {time.time_ns()}\n")
    started = time.monotonic()
    try:
        build(name, "changed", tmp_path)
        took = time.monotonic() - started
        print(f"{name}: rebuilt in {took:.1f} s after a change of code")
        code = "import byoc; print(byoc.CHANGED > 0)"
        assert shell(docker, f"byoc-{name}:changed", f"python3 -c '{code}'") == "True"
    finally:
        subprocess.run(["docker", "image", "rm", f"byoc-{name}:changed"], capture_output=True)
    assert took <= REBUILD_SECONDS
