"""Script mode of `train`: the user's source, environment, arguments and failures."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from byoc import contract
from byoc.training.last_words import find_cause
from script_job import TRAIN, Job


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    for name in ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return Job(tmp_path)


# --- what reaches the script

TELL = """\
import json, os, sys
path = os.path.join(os.environ["SM_MODEL_DIR"], "told.json")
os.makedirs(os.path.dirname(path), exist_ok=True)
told = {"arguments": sys.argv[1:], "variables": dict(os.environ), "cwd": os.getcwd()}
json.dump(told, open(path, "w"))
"""
ODD_VALUES = {
    "a": "7",
    "any-name": '"quoted"',
    "rate": "1e-3",
    "yes": "true",
    "none": "null",
    "plain": "two words",
    "unicode": "Grüße 日本",
    "empty": "",
    "dashes": "--not-an-option",
    "shell": "$(touch /tmp/never) `id` ; 'x' \"y\" *",
    "nested": '{"depth": {"width": 2}, "list": [1, 2]}',
    "list": "[1, 2]",
    "sagemaker_region": '"eu-central-1"',
    "_tuning_objective_metric": "val_mcc",
}


def test_arguments_and_variables_are_the_toolkit_s(job: Job) -> None:
    job.write("mine.py", TELL)
    job.configure(**ODD_VALUES)
    job.config(
        "resourceconfig",
        {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    )
    job.config("inputdataconfig", {"train": {"TrainingInputMode": "File"}, "x_y": {}})
    code, _, errors = job.run(TRAINING_JOB_NAME="job-1", USERS_OWN="kept as is")
    assert (code, errors) == (0, "")
    told = json.loads((job.tree / "model" / "told.json").read_text())
    asked = (
        "import json\nfrom sagemaker_training.environment import Environment\n"
        "e = Environment()\nprint(json.dumps([e.to_cmd_args(), e.to_env_vars()]))"
    )
    variables = {**os.environ, "TRAINING_JOB_NAME": "job-1"}
    run = subprocess.run([sys.executable, "-c", asked], stdout=-1, check=True, env=variables)
    arguments, expected = json.loads(run.stdout)
    assert told["arguments"] == arguments
    assert {name: told["variables"].get(name) for name in expected} == expected
    assert told["variables"]["TRAINING_JOB_NAME"] == "job-1"
    assert told["variables"]["USERS_OWN"] == "kept as is"
    assert told["variables"]["SM_CHANNEL_TRAIN"] == str(job.tree / "input" / "data" / "train")
    assert told["variables"]["SM_CURRENT_HOST"] == "algo-1"
    assert told["cwd"] == str(job.code)
    by_name = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert (by_name["-a"], by_name["--empty"], by_name["--yes"]) == ("7", "", "True")
    assert by_name["--shell"] == ODD_VALUES["shell"]
    assert by_name["--unicode"] == "Grüße 日本"
    assert not [name for name in by_name if "sagemaker" in name or "tuning" in name]


def test_a_shell_script_gets_the_same_arguments(job: Job) -> None:
    job.write("mine.sh", '#!/bin/bash\nprintf "<%s>" "$@"\n')
    job.configure("mine.sh", **{"any name": "two words", "shell": ODD_VALUES["shell"]})
    code, output, errors = job.run()
    assert code == 0, errors
    assert output == f"<--any name><two words><--shell><{ODD_VALUES['shell']}>"


def test_output_comes_live_and_whole(job: Job) -> None:
    job.write(
        "mine.py",
        "import sys\n"
        "print('first', flush=True)\n"
        "sys.stderr.write('half a line'); sys.stderr.flush()\n"
        "sys.stdin.readline()\n"
        "for i in range(20000): print('out', i); print('err', i, file=sys.stderr)\n",
    )
    job.configure()
    pipe = subprocess.PIPE
    process = subprocess.Popen(TRAIN, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"first\n"
    assert process.stderr.read1() == b"half a line"  # type: ignore[attr-defined]
    output, errors = process.communicate(b"go on\n", timeout=60)
    assert process.returncode == 0
    assert output.decode().splitlines() == [f"out {i}" for i in range(20000)]
    assert errors.decode().splitlines() == [f"err {i}" for i in range(20000)]


# --- where the source comes from


def pack(path: Path, *members: tarfile.TarInfo, **files: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_source_in_s3_is_fetched(job: Job) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        import boto3

        _, port = server.get_host_and_port()
        address = f"http://127.0.0.1:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        client.create_bucket(Bucket="sources")
        packed = pack(job.tree / "s.tar.gz", mine__py="import other", other__py="print('fetched')")
        client.upload_file(str(packed), "sources", "a/sourcedir.tar.gz")
        for key, expected in (("a/sourcedir.tar.gz", 0), ("a/missing.tar.gz", 1)):
            job.configure(sagemaker_submit_directory=f"s3://sources/{key}")
            code, output, errors = job.run(S3_ENDPOINT_URL=address, **keys)
            assert code == expected, errors
            assert ("fetched" in output) == (code == 0)
    finally:
        server.stop()
    cause = "cannot fetch s3://sources/a/missing.tar.gz: "
    assert job.told().startswith(cause)
    assert errors.splitlines()[-1].startswith(f"train: {cause}")


def test_the_channel_code_is_a_source_too(job: Job) -> None:
    channel = job.tree / "input" / "data" / "code"
    channel.mkdir(parents=True)
    pack(channel / "sourcedir.tar.gz", mine__py="print('from the channel')")
    job.configure(sagemaker_submit_directory=None)
    assert job.run()[:2] == (0, "from the channel\n")


def test_a_second_run_in_the_same_tree_takes_the_source_as_it_is_now(job: Job) -> None:
    job.write("mine.py", "print('old')")
    job.configure()
    assert job.run()[1] == "old\n"
    job.write("mine.py", "print('new')")
    assert job.run()[1] == "new\n"


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    ("member", "cause"),
    [
        (link("data", "/etc"), "'data', which is neither a file nor a folder"),
        (tarfile.TarInfo("../outside.py"), "'../outside.py', which leads outside"),
        (tarfile.TarInfo("/tmp/outside.py"), "'/tmp/outside.py', which leads outside"),
    ],
    ids=["link", "parent", "absolute"],
)
def test_an_archive_that_reaches_outside_is_refused(
    job: Job, member: tarfile.TarInfo, cause: str
) -> None:
    packed = pack(job.tree / "bad.tar.gz", member, mine__py="print('never')")
    job.configure(sagemaker_submit_directory=str(packed))
    code, output, _ = job.run()
    assert (code, output) == (1, "")
    assert cause in job.told()
    assert not list(job.code.iterdir())


def test_what_is_missing_is_named(job: Job) -> None:
    job.write("yours.py", "")
    job.configure()
    assert job.run()[0] == 1
    assert job.told() == "sagemaker_program: there is no mine.py in the source: yours.py\n"
    job.configure(sagemaker_submit_directory="/nowhere")
    assert job.run()[0] == 1
    assert job.told() == "sagemaker_submit_directory: there is no /nowhere\n"
    job.configure(sagemaker_submit_directory=None)
    assert job.run()[0] == 1
    assert job.told().startswith("there is no source for mine.py: name a tar.gz in S3")


def test_launchers_that_are_not_there_are_refused(job: Job) -> None:
    switch = "sagemaker_mpi_enabled"
    job.configure(**{switch: "true"})
    assert job.run()[0] == 1
    assert job.told().startswith(f"hyperparameters: {switch} is not supported by this image")
    assert "sagemaker_torch_distributed_enabled" in job.told()


# --- how it fails


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("raise SystemExit(3)", "mine.py failed with exit code 3"),
        ("raise ValueError('too\\nlong')", "mine.py failed with exit code 1: ValueError: too"),
        (
            "import sys; sys.exit('no such column')",
            "mine.py failed with exit code 1; the last line on stderr: no such column",
        ),
        ("raise KeyboardInterrupt", "mine.py was ended by SIGINT: KeyboardInterrupt"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "mine.py was killed by SIGKILL (out of memory, it may be)",
        ),
        ("def", "mine.py failed with exit code 1: SyntaxError: invalid syntax"),
    ],
    ids=["exit", "exception", "message", "interrupt", "kill", "syntax"],
)
def test_the_failure_file_begins_with_the_cause(job: Job, text: str, cause: str) -> None:
    job.write("mine.py", text)
    job.configure()
    code, _, errors = job.run()
    assert code == 1
    assert job.told() == f"{cause}\n"
    assert errors.splitlines()[-1] == f"train: {cause}"


def test_the_script_s_own_failure_file_stays(job: Job) -> None:
    job.write(
        "mine.py",
        "import os\n"
        "open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('ours:\\nthe disk is full')\n"
        "raise SystemExit(1)\n",
    )
    (job.tree / "output").mkdir()
    job.configure()
    assert job.run()[0] == 1
    assert job.told() == "ours:\nthe disk is full"


def test_requirements_that_cannot_be_installed_are_told(job: Job) -> None:
    job.write("mine.py", "print('never')")
    job.write("requirements.txt", "byoc-no-such-package==1.0\n")
    job.configure()
    code, output, _ = job.run(PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    assert code == 1
    assert "never" not in output
    assert job.told().startswith("cannot install what mine.py needs: pip failed")
    assert "byoc-no-such-package==1.0" in job.told()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", ""),
        ("a warning\n", "; the last line on stderr: a warning"),
        (
            "\x1b[31mTraceback (most recent call last):\n  File x\n\x1b[0mOSError: a\n",
            ": OSError: a",
        ),
        (
            "[rank1]: Traceback (most recent call last):\n[rank1]:   File x\n[rank1]: KeyError: 1\n"
            "Traceback (most recent call last):\n  File y\nx.errors.ChildFailedError: \n===\n",
            ": KeyError: 1",
        ),
        (
            "Traceback (most recent call last):\n  File y\nx.errors.ChildFailedError: \n"
            "  exitcode  : 3 (pid: 7)\n===\n",
            ": a worker of torchrun ended with exit code 3",
        ),
        ("x" * 70000, "; the last line on stderr: " + "x" * 800 + "…"),
    ],
)
def test_the_cause_is_found_in_what_was_said(text: str, cause: str) -> None:
    assert find_cause(text) == cause
