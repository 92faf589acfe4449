"""`train`: the training image's program. Owns the failure file, the exit code and signals.

Exit codes: 0 trained; 1 failed, the cause in output/failure; 143 stopped by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from byoc import contract
from byoc.training import platform
from byoc.training.config import parse_hyperparameters
from byoc.training.faults import StoppedError, TrainingFault
from byoc.training.sources import read_splits

FAILED = 1
STOPPED = 128 + signal.SIGTERM


class _Stop:
    """Where SIGTERM goes: to nothing yet, to the training loop, or to a user's script."""

    def __init__(self) -> None:
        self.requested = False
        self.on_request: Callable[[], None] | None = None

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if again:
            return
        if self.on_request is None:
            raise StoppedError
        self.on_request()


def main() -> None:
    """Trains as input/config asks, and exits."""
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    sys.exit(_guarded(stop))


def _guarded(stop: _Stop) -> int:
    """Runs the job; whatever ends it becomes an exit code and, on failure, a failure file."""
    try:
        _run(stop)
    except StoppedError:
        return _stopped()
    except BaseException as error:  # SystemExit of a library is a failure too: nobody asked for it
        return _failed(error)
    return _stopped() if stop.requested else 0


def _stopped() -> int:
    print("train: stopped by SIGTERM", file=sys.stderr, flush=True)
    return STOPPED


def _run(stop: _Stop) -> None:
    hyperparameters = platform.read_hyperparameters()
    if platform.script(hyperparameters):
        found = platform.environment()
        stop.on_request = platform.forward_stop
        try:
            platform.run_script(found)
        except TrainingFault as fault:
            if stop.requested:
                raise StoppedError from fault
            raise
        return
    # Everything that needs no torch comes first: a typing error costs no minute.
    config = parse_hyperparameters(hyperparameters)
    splits = read_splits(config)
    _check_writable()
    platform.environment()
    _prepare_libraries()

    from byoc.training.progress import StopRequest

    request = StopRequest()
    stop.on_request = request.ask
    from byoc.training.fit import train

    metrics = train(config, splits, request)
    kept = f"the weights of epoch {metrics['epoch']:g}"
    print(f"trained: {kept} are in {contract.model_dir()}", flush=True)


def _check_writable() -> None:
    """Raises ``TrainingFault`` where the model could not be written in the end."""
    folder = contract.model_dir()
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("probe")
        probe.unlink()
    except OSError as error:
        raise TrainingFault(f"cannot write to {folder}: {error.strerror}") from error


def _prepare_libraries() -> None:
    """Settings that must stand before torch and tokenizers are imported."""
    # The tokenizer's threads and forked data workers do not go together.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from byoc import cuda

    cuda.use_compat()
    fault = cuda.driver_fault()
    if fault:
        raise TrainingFault(fault)


def _failed(error: BaseException) -> int:
    """Tells of the failure where SageMaker looks for it and where people do."""
    known = isinstance(error, TrainingFault)
    cause = _cause(error)
    details = "" if known else "".join(traceback.format_exception(error))
    if details:
        print(details, file=sys.stderr, flush=True)
    contract.write_failure(f"{cause}\n\n{details}" if details else f"{cause}\n")
    print(f"train: {cause}", file=sys.stderr, flush=True)
    return FAILED


def _cause(error: BaseException) -> str:
    """One line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return f"something called exit({error.code!r}) during training"
    text = " ".join(str(error).split())
    if isinstance(error, TrainingFault | ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main()
