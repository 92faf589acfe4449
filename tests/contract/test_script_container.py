"""Script mode in the training image, where `train` is PID 1 and there is no network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

IMAGE = "byoc-training:cpu"


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no Docker engine: {error}")
    if asked.returncode != 0:
        pytest.skip(f"{IMAGE} is not there (`make images`): {asked.stderr.strip()}")


def lay_out(tree: Path, program: str, **files: str) -> None:
    """The source as the channel `code`; in names of files, two underscores are a dot."""
    code = tree / "input" / "data" / "code"
    code.mkdir(parents=True)
    for name, text in files.items():
        (code / name.replace("__", ".")).write_text(text)
    config = tree / "input" / "config"
    config.mkdir()
    given = {"sagemaker_program": program, "lr": "1e-3"}
    (config / "hyperparameters.json").write_text(json.dumps(given))


def command(tree: Path, *options: str) -> list[str]:
    mount = ["--volume", f"{tree}:/opt/ml"]
    return ["docker", "run", "--rm", "--network", "none", *mount, *options, IMAGE]


def test_a_package_with_setup_py_is_installed_and_run(tmp_path: Path) -> None:
    setup = "from setuptools import setup\nsetup(name='mine', version='1', py_modules=['mine'])\n"
    program = "import sys, byoc; print('arguments:', *sys.argv[1:])"
    lay_out(tmp_path, "mine.py", setup__py=setup, mine__py=program)
    offline = ("--env", "PIP_NO_INDEX=1", "--env", "PIP_NO_BUILD_ISOLATION=0")
    done = subprocess.run(command(tmp_path, *offline), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "arguments: --lr 0.001"


def test_docker_stop_reaches_a_program_under_bash(tmp_path: Path) -> None:
    slow = (
        "import signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(2)\n"
        "    open('/opt/ml/model/saved', 'w').close()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True)\n"
        "time.sleep(100)\n"
    )
    lay_out(tmp_path, "mine.sh", mine__sh="#!/bin/bash\npython slow.py\n", slow__py=slow)
    (tmp_path / "model").mkdir()
    name = f"byoc-test-script-{tmp_path.name}"
    with subprocess.Popen(
        command(tmp_path, "--name", name), stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        subprocess.run(["docker", "stop", "--time", "60", name], capture_output=True, check=True)
        job.stdout.read()
    assert job.returncode == 143
    assert (tmp_path / "model" / "saved").exists()
    assert not (tmp_path / "output" / "failure").exists()


def test_a_script_that_takes_too_much_memory_is_told_so(tmp_path: Path) -> None:
    lay_out(tmp_path, "mine.py", mine__py="x = b'x' * (1 << 30)")
    limits = ("--memory", "300m", "--memory-swap", "300m")
    done = subprocess.run(command(tmp_path, *limits), capture_output=True, text=True)
    cause = "mine.py was killed by SIGKILL (the container ran out of memory)"
    assert done.returncode == 1
    assert (tmp_path / "output" / "failure").read_text() == f"{cause}\n"


def test_a_source_in_s3_without_a_network_is_told_within_seconds(tmp_path: Path) -> None:
    lay_out(tmp_path, "mine.py")
    path = tmp_path / "input" / "config" / "hyperparameters.json"
    given = {"sagemaker_program": "mine.py", "sagemaker_submit_directory": "s3://nowhere/a.tar.gz"}
    path.write_text(json.dumps(given))
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    told = (tmp_path / "output" / "failure").read_text()
    assert told.startswith("cannot fetch s3://nowhere/a.tar.gz: ")
    assert "give the source as a channel code" in told
