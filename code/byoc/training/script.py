"""Script mode: the user's own entry script runs in the image, as `sagemaker-training` defines it.

What is the toolkit's: the environment, the arguments, the command, pip. What is ours: the source,
signals, the end of processes, and the cause of a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from byoc import contract
from byoc.training import process_tree, script_source
from byoc.training.config import plain
from byoc.training.faults import StoppedError, ToldFault, TrainingFault, reason
from byoc.training.last_words import LastWords
from byoc.training.stopping import StopRequest

_ABANDONED_WITHIN = 2
"""Seconds after SIGTERM until preparations are given up even if a library holds on to them."""

_NAMES_WITHIN = 900.0
"""Seconds until the other hosts' names must resolve; the toolkit's own."""

_TORCHRUN = "sagemaker_torch_distributed_enabled"
_REFUSED = (
    "sagemaker_mpi_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
)


def name(hyperparameters: dict[str, object]) -> str | None:
    """The user's own entry script, where script mode is asked for."""
    found = os.environ.get("SAGEMAKER_PROGRAM") or hyperparameters.get("sagemaker_program")
    return plain(found) if found else None


def run(found: Any, stop: StopRequest) -> None:
    """Fetches the user's source, installs what it needs, runs its entry script and waits for it.

    ``found``: the toolkit's environment, see ``platform.environment``.
    Raises ``StoppedError`` after SIGTERM, whatever the script made of it, and ``TrainingFault``
    where the script fails or cannot be started.
    """
    program = str(found.user_entry_point)
    stop.on_request = _abandon
    stop.check()
    with contextlib.suppress(OSError):
        contract.failure_file().unlink()  # of an earlier run in the same tree
    try:
        with LastWords() as said:
            command = _prepare(found, program, said)
            killed = _kills_for_memory()
            try:
                code = process_tree.run(command, _folder(), stop)
            except OSError as error:
                raise TrainingFault(f"cannot start {program}: {reason(error)}") from error
    except TrainingFault as fault:
        stop.check()
        raise fault
    stop.check()
    if code:
        out_of_memory = _kills_for_memory() > killed
        _fail(f"{program} {_ending(code, out_of_memory)}{said.cause()}")


def _abandon() -> None:
    """SIGTERM before the user's script has started: nothing is to be saved."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + signal.SIGTERM))
    signal.alarm(_ABANDONED_WITHIN)
    process_tree.kill_all()
    raise StoppedError


def _fail(cause: str) -> NoReturn:
    """The script's own failure file stays: it knows better."""
    failure = contract.failure_file()
    if failure.is_file() and failure.stat().st_size:
        raise ToldFault(cause)
    raise TrainingFault(cause)


def _folder() -> Path:
    return contract.base_dir() / "code"


def _prepare(found: Any, program: str, said: LastWords) -> list[str]:
    """The command that runs the user's script, when all that it needs is in place."""
    from sagemaker_training import entry_point, environment, errors, process

    _refuse_runners(found)
    folder = _folder()
    try:
        process.validate_entry_point(program)
        script_source.lay_out(found, folder)
        if not (folder / "setup.py").exists() and not (folder / program).is_file():
            held = ", ".join(script_source.holds(folder)[:10]) or "nothing"
            raise TrainingFault(f"sagemaker_program: there is no {program} in the source: {held}")
        entry_point.install(program, str(folder))
        environment.write_env_vars(found.to_env_vars())  # PYTHONPATH has code/ in it now
        _wait_for(found.hosts)
        return _command(found, program)
    except errors._CalledProcessError as error:
        cause = said.cause()
        raise TrainingFault(f"cannot install what {program} needs: pip failed{cause}") from error
    except (errors.ClientError, OSError, ValueError) as error:
        raise TrainingFault(f"cannot run {program}: {reason(error)}") from error


def _refuse_runners(found: Any) -> None:
    asked = found.additional_framework_parameters
    for switch in _REFUSED:
        if asked.get(switch):
            raise TrainingFault(
                f"hyperparameters: {switch} is not supported by this image, which has no such "
                f"launcher: use {_TORCHRUN}"
            )


def _command(found: Any, program: str) -> list[str]:
    from sagemaker_training import process, runner

    arguments = found.to_cmd_args()
    if not found.additional_framework_parameters.get(_TORCHRUN):
        made = process.ProcessRunner(program, arguments, found.to_env_vars(), 1)._create_command()
        return list(map(str, made))
    kind = runner.TorchDistributedRunnerType
    command = runner.get(kind, program, arguments, found.to_env_vars())._create_command()
    # torchrun need not be on PATH where `train` is called by its full name.
    beside = str(Path(sys.executable).parent)
    torchrun = shutil.which("torchrun", path=f"{os.environ.get('PATH', '')}{os.pathsep}{beside}")
    return [torchrun if word == "torchrun" and torchrun else word for word in command]


def _wait_for(hosts: list[str]) -> None:
    """Hosts do not start at the same moment, and DNS learns of them later still."""
    end = time.monotonic() + _NAMES_WITHIN
    for host in hosts if len(hosts) > 1 else []:
        while True:
            try:
                socket.getaddrinfo(host, None)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise TrainingFault(f"host {host} cannot be found: {reason(error)}") from error
                time.sleep(1.0)


def _ending(code: int, out_of_memory: bool) -> str:
    number = -code if code < 0 else code - 128  # a shell passes a signal on as 128 + number
    if number == signal.SIGKILL:
        usual = "the container ran out of memory" if out_of_memory else "out of memory, it may be"
        return f"was killed by SIGKILL ({usual})"
    if code < 0:
        return f"was ended by {signal.Signals(number).name}"
    return f"failed with exit code {code}"


def _kills_for_memory() -> int:
    """How many processes of this container the kernel has killed for memory so far."""
    for file in ("memory.events", "memory/memory.oom_control"):
        try:
            text = (Path("/sys/fs/cgroup") / file).read_text(encoding="ascii")
        except OSError:
            continue
        counts = dict(line.split()[:2] for line in text.splitlines())
        return int(counts.get("oom_kill", 0))
    return 0
