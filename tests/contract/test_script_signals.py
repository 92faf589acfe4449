"""Script mode of `train`: signals, and the end of the user's processes; torchrun."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from byoc import contract
from byoc.training import process_tree
from script_job import Job, finish

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


def assert_soon(attempt: Callable[[], float]) -> None:
    """``attempt`` gives seconds. A machine that has no time for it gets three tries."""
    delays: list[float] = []
    while not delays or delays[-1] >= 1:
        assert len(delays) < 3, delays
        delays.append(attempt())


PATIENCE = 60.0
"""Seconds: more than a busy machine takes to do what is asked, and less than any grace or sleep."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    for name in ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return Job(tmp_path)


def test_a_script_that_ends_well_on_sigterm_was_stopped_still(job: Job) -> None:
    job.write("mine.py", HANDLES)
    job.configure()

    def attempt() -> float:
        process = job.start()
        sent = stop(process, "ready")
        code, _, errors = finish(process)
        assert (code, errors) == (143, "train: stopped by SIGTERM\n")
        assert not job.failure.exists()
        return float((job.code / "mine.py.stopped").read_text()) - sent

    assert_soon(attempt)


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

    def attempt() -> float:
        process = job.start()
        sent = stop(process, "ready")
        code, output, errors = finish(process)
        assert code == 143, errors
        assert "saved" in output
        return float((job.code / "slow.py.stopped").read_text()) - sent

    assert_soon(attempt)


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
    assert 1 <= time.monotonic() - began < PATIENCE
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
    end = time.monotonic() + PATIENCE
    while not (job.code / "slow" / "here").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    code, output, errors = finish(process)
    assert (code, errors) == (143, "train: stopped by SIGTERM\n")
    assert "never" not in output
    assert time.monotonic() - began < PATIENCE
    assert not job.failure.exists()


def test_a_stop_while_the_source_does_not_come(job: Job) -> None:
    job.configure(sagemaker_submit_directory="s3://sources/a.tar.gz")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = job.start(
            S3_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            AWS_ACCESS_KEY_ID="x",
            AWS_SECRET_ACCESS_KEY="x",
            AWS_REGION="us-east-1",
        )
        silent.settimeout(PATIENCE)
        silent.accept()
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert finish(process)[0] == 143
    assert time.monotonic() - began < PATIENCE


def test_a_stop_at_any_moment_of_the_start(tmp_path: Path) -> None:
    """Whenever it comes, the job ends with 143 and nothing else happens."""
    delays = (0.3, 0.5, 0.7, 0.9, 1.1)
    jobs = []
    for number, _ in enumerate(delays):
        (tmp_path / str(number)).mkdir()
        jobs.append(Job(tmp_path / str(number)))
        jobs[-1].write("mine.py", "import time; time.sleep(600)")
        jobs[-1].configure()
    start = time.monotonic()
    processes = [job.start(**{contract.BASE_DIR_VARIABLE: str(job.tree)}) for job in jobs]
    for process, delay in zip(processes, delays, strict=True):
        time.sleep(max(0.0, start + delay - time.monotonic()))
        process.send_signal(signal.SIGTERM)
    for process in processes:
        # -15: the signal came before Python was there.
        assert finish(process)[0] in (143, -signal.SIGTERM)
    assert not [job for job in jobs if job.failure.exists()]


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
told = " ".join([f"ready {rank} of {os.environ['WORLD_SIZE']}", *sys.argv[1:]])
os.write(1, f"{told}\\n".encode())  # in one piece: the workers share the pipe
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

    def attempt() -> float:
        process = job.start()
        sent = stop(process, "ready 0 of 2 --lr 1", "ready 1 of 2 --lr 1")
        code, _, errors = finish(process)
        assert code == 143, errors
        return max(float((job.code / f"stopped-{rank}").read_text()) for rank in (0, 1)) - sent

    assert_soon(attempt)


def test_a_worker_s_own_error_is_the_cause(job: Job) -> None:
    job.write("mine.py", WORKER)
    job.configure(**TWO_WORKERS)
    assert job.run(FAIL="1")[0] == 1
    assert job.told() == "mine.py failed with exit code 1: RuntimeError: lost my way\n"
