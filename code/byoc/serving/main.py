"""`serve`: the serving image's program. PID 1 in the container: owns signals and the exit code.

Exit codes: 0 stopped by SIGTERM; 1 failed, the cause is the last line on stderr.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType

from byoc import contract
from byoc.cores import available_cores
from byoc.serving import log, model_files, variables
from byoc.serving.faults import ServingFault
from byoc.serving.settings import default_workers, read_settings
from byoc.serving.state import State
from byoc.serving.supervisor import Supervisor

LONGEST_FOLDER = 70
"""Characters: a Unix socket's path has 107, and the folder holds several."""


def main() -> None:
    """Serves model/ until SIGTERM, and exits."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        _run(stop)
    except ServingFault as fault:
        if fault.details:
            log.line(fault.details.rstrip())
        log.say(str(fault))
        sys.exit(1)
    sys.exit(0)


def _run(stop: threading.Event) -> None:
    from byoc import cuda

    settings, gpus = read_settings(), default_workers(0)
    cuda.use_compat()
    fault = cuda.driver_fault()
    if fault:
        raise ServingFault(fault)
    if not settings.is_multi_model:
        model_files.check(contract.model_dir())
        settings = replace(settings, rules=model_files.rules(contract.model_dir(), settings.rules))
        if gpus and not os.environ.get(variables.WORKERS.name):
            workers = gpus * model_files.workers_of_a_gpu(
                contract.model_dir(), available_cores() // gpus
            )
            settings = replace(settings, workers=workers)
    elif gpus:
        raise ServingFault(
            "SAGEMAKER_MULTI_MODEL is true, and there is a GPU: SageMaker has multi-model "
            "endpoints on GPUs with NVIDIA Triton's server only; choose a CPU instance"
        )
    folder = _folder()
    try:
        Supervisor(settings, State(folder), stop).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """A new temporary folder, short enough for the names of sockets."""
    try:
        parent = tempfile.gettempdir()
        if len(parent) > LONGEST_FOLDER - len("/serve-12345678") or not parent.isascii():
            parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder that nobody else can enter
        return Path(tempfile.mkdtemp(prefix="serve-", dir=parent))
    except OSError as error:
        raise ServingFault(f"cannot write to a temporary folder: {error.strerror}") from error


if __name__ == "__main__":
    main()
