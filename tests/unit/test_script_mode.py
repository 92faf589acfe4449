"""Script mode of `train`: the user's source, environment, arguments, signals and failures."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest

from byoc import contract
from byoc.training import process_tree
from byoc.training.last_words import find_cause

TRAIN = (sys.executable, "-m", "byoc.training.main")
SHORT_GRACE = (
    sys.executable,
    "-c",
    "from byoc.training import main, process_tree; process_tree.GRACE_SECONDS = 1; main.main()",
)
HANDLES = """\
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[0] + ".stopped").write_text(str(time.time()))
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


class Job:
    """A tree with a source directory, and `train` on it."""

    def __init__(self, tree: Path) -> None:
        self.tree, self.source, self.code = tree, tree / "source", tree / "code"
        self.failure = tree / "output" / "failure"
        self.source.mkdir()
        (tree / "input" / "config").mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)

    def configure(self, program: str = "mine.py", **values: object) -> None:
        given = {
            "sagemaker_program": json.dumps(program),
            "sagemaker_submit_directory": json.dumps(str(self.source)),
            **values,
        }
        self.config("hyperparameters", {k: v for k, v in given.items() if v is not None})

    def config(self, name: str, content: object) -> None:
        path = self.tree / "input" / "config" / f"{name}.json"
        path.write_text(json.dumps(content))

    def start(self, command: tuple[str, ...] = TRAIN, **variables: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def run(self, **variables: str) -> tuple[int, str, str]:
        return finish(self.start(**variables))

    def told(self) -> str:
        return self.failure.read_text()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def read_until(process: subprocess.Popen[str], *texts: str) -> None:
    assert process.stdout is not None
    wanted = set(texts)
    for line in process.stdout:
        wanted -= {text for text in wanted if text in line}
        if not wanted:
            return
    raise AssertionError(f"{wanted} never came: {process.communicate()[1]}")


def stop(process: subprocess.Popen[str], *after: str) -> float:
    """Sends SIGTERM when the texts have come; gives the time of it."""
    read_until(process, *after)
    process.send_signal(signal.SIGTERM)
    return time.time()


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


# --- how it is stopped


def test_a_script_that_ends_well_on_sigterm_was_stopped_still(job: Job) -> None:
    job.write("mine.py", HANDLES)
    job.configure()
    process = job.start()
    sent = stop(process, "ready")
    code, _, errors = finish(process)
    assert (code, errors) == (143, "train: stopped by SIGTERM\n")
    assert not job.failure.exists()
    assert float((job.code / "mine.py.stopped").read_text()) - sent < 1


def test_ctrl_c_ends_the_script_in_order_too(job: Job) -> None:
    job.write("mine.py", HANDLES)
    job.configure()
    process = job.start()
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    code, _, errors = finish(process)
    assert (code, errors.splitlines()[-1]) == (1, "train: interrupted")
    assert (job.code / "mine.py.stopped").exists()


def test_a_script_under_shells_gets_sigterm_and_its_grace(job: Job) -> None:
    """The shells die of the signal; the program that they run still has its time."""
    job.write(
        "slow.py",
        HANDLES.replace("sys.exit(0)", "time.sleep(1); print('saved', flush=True); sys.exit(0)"),
    )
    job.write("mine.sh", f"#!/bin/bash\nbash -c '{sys.executable} slow.py; true'\ntrue\n")
    job.configure("mine.sh")
    process = job.start()
    sent = stop(process, "ready")
    code, output, errors = finish(process)
    assert code == 143, errors
    assert "saved" in output
    assert float((job.code / "slow.py.stopped").read_text()) - sent < 1


def test_what_a_program_has_started_itself_is_left_to_it(job: Job) -> None:
    """Loader processes must not die while the last steps are trained and saved."""
    job.write("child.py", "import time; time.sleep(1); print('child ended well', flush=True)")
    job.write(
        "mine.py",
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(child.wait()))\n"
        "child = subprocess.Popen([sys.executable, 'child.py'])\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n",
    )
    job.configure()
    process = job.start()
    stop(process, "ready")
    code, output, errors = finish(process)
    assert (code, output) == (143, "child ended well\n"), errors


def test_after_the_grace_everything_is_killed(job: Job) -> None:
    """Also what has left its parent and its session."""
    job.write(
        "mine.py",
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['setsid', 'sleep', '600'])\n"
        "print('ready', child.pid, os.getpid(), flush=True)\n"
        "while True: signal.pause()\n",
    )
    job.configure()
    process = job.start(SHORT_GRACE)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()[1:]]
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    code, _, errors = finish(process)
    assert (code, errors) == (143, "train: stopped by SIGTERM\n")
    assert 1 <= time.monotonic() - began < 10
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert process_tree.GRACE_SECONDS == 100


def test_nothing_is_left_when_the_script_ends(job: Job) -> None:
    job.write("mine.sh", "#!/bin/sh\nsetsid sleep 600 &\necho $!\n")
    job.configure("mine.sh")
    code, output, errors = job.run()
    assert code == 0, errors
    assert not psutil.pid_exists(int(output))


def test_a_stop_while_requirements_are_installed(job: Job) -> None:
    job.write("mine.py", "print('never')")
    job.write("requirements.txt", "-e ./slow\n")
    (job.source / "slow").mkdir()
    (job.source / "slow" / "setup.py").write_text(
        "import time; open('here', 'w').close(); time.sleep(600)"
    )
    job.configure()
    process = job.start(PIP_NO_BUILD_ISOLATION="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    end = time.monotonic() + 30
    while not (job.code / "slow" / "here").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    code, output, errors = finish(process)
    assert (code, errors) == (143, "train: stopped by SIGTERM\n")
    assert "never" not in output
    assert time.monotonic() - began < 10
    assert not job.failure.exists()


def test_a_stop_while_the_source_does_not_come(job: Job) -> None:
    import socket

    job.configure(sagemaker_submit_directory="s3://sources/a.tar.gz")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = job.start(
            S3_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            AWS_ACCESS_KEY_ID="x",
            AWS_SECRET_ACCESS_KEY="x",
            AWS_REGION="us-east-1",
        )
        silent.settimeout(30)
        silent.accept()
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert finish(process)[0] == 143
    assert time.monotonic() - began < 10


def test_a_stop_at_any_moment_of_the_start(job: Job) -> None:
    """Whenever it comes, the job ends with 143 and nothing else happens."""
    job.write("mine.py", "import time; time.sleep(600)")
    job.configure()
    began = [(job.start(), delay) for delay in (0.3, 0.5, 0.7, 0.9, 1.1)]
    start = time.monotonic()
    for process, delay in began:
        time.sleep(max(0.0, start + delay - time.monotonic()))
        process.send_signal(signal.SIGTERM)
    for process, _ in began:
        assert finish(process)[0] in (143, -signal.SIGTERM)
    assert not job.failure.exists()


# --- torchrun


WORKER = """\
import os, pathlib, signal, sys, time
rank = os.environ["RANK"]
def stop(*_):
    path = pathlib.Path(f"stopped-{rank}")
    path.write_text(path.read_text() + "again" if path.exists() else str(time.time()))
    time.sleep(1)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(f"ready {rank} of {os.environ['WORLD_SIZE']}", *sys.argv[1:], flush=True)
if os.environ.get("FAIL") == rank:
    raise RuntimeError("lost my way")
time.sleep(60)
"""
TWO_WORKERS = {
    "sagemaker_torch_distributed_enabled": "true",
    "sagemaker_mpi_num_of_processes_per_host": "2",
}


def test_torchrun_s_workers_get_sigterm_once_and_have_their_grace(job: Job) -> None:
    job.write("mine.py", WORKER)
    job.configure(**TWO_WORKERS, lr="1")
    process = job.start()
    sent = stop(process, "ready 0 of 2 --lr 1", "ready 1 of 2 --lr 1")
    code, _, errors = finish(process)
    assert code == 143, errors
    for rank in (0, 1):
        assert float((job.code / f"stopped-{rank}").read_text()) - sent < 1


def test_a_worker_s_own_error_is_the_cause(job: Job) -> None:
    job.write("mine.py", WORKER)
    job.configure(**TWO_WORKERS)
    assert job.run(FAIL="1")[0] == 1
    assert job.told() == "mine.py failed with exit code 1: RuntimeError: lost my way\n"
