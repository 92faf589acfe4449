"""`train`: the training image's program. Owns the failure file, the exit code and signals.

Exit codes: 0 trained; 1 failed, the cause in output/failure; 143 stopped by SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.metric_lines import METRICS, metric_line
from byoc.training import debugging_settings, platform, redact, script
from byoc.training.config import TrainingConfig, parse_hyperparameters
from byoc.training.faults import StoppedError, ToldFault, TrainingFault, reason
from byoc.training.sources import Splits, read_splits
from byoc.training.stopping import StopRequest

FAILED = 1
STOPPED = 128 + signal.SIGTERM

MEMORY_SIGNS = ("out of memory", "can't allocate memory", "Cannot allocate memory")


def main() -> None:
    """Trains as input/config asks, and exits."""
    stop = StopRequest()
    stop.install()
    sys.exit(_guarded(stop))


def _guarded(stop: StopRequest) -> int:
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


def _run(stop: StopRequest) -> None:
    hyperparameters = platform.read_hyperparameters()
    if script.name(hyperparameters):
        script.run(platform.environment(), stop)
        return
    # Everything that needs no torch comes first: a typing error costs no minute.
    config = parse_hyperparameters(hyperparameters)
    splits = read_splits(config)
    _check_writable()
    platform.environment()
    prepare_libraries()
    if config.debug:
        debugging_settings.check(config)
    with _temporary_folder() as folder:
        _train(config, splits, Path(folder), stop)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Raises ``TrainingFault`` where there is none to be had."""
    try:
        return tempfile.TemporaryDirectory(prefix="byoc-", ignore_cleanup_errors=True)
    except OSError as error:
        raise TrainingFault(f"no folder for temporary files: {error}") from error


def _train(config: TrainingConfig, splits: Splits, folder: Path, stop: StopRequest) -> None:
    """In this process, or in several of this host and of others."""
    from byoc.training import libraries, torchrun
    from byoc.training.prepare import prepare

    hosts = torchrun.hosts()
    processes = torchrun.processes(config)
    prepared = prepare(config, splits, folder)
    if processes * len(hosts.names) > 1:
        prepared.save()
        torchrun.run(folder, hosts, processes, stop)
        where = f"the model is in {contract.model_dir()} of {hosts.first}"
        found = _results()
        if found:  # on the first host
            print(_kept(found), flush=True)
        print(f"trained: {where}{_ended_early()}", flush=True)
        return
    with libraries.importing():
        from byoc.training.fit import train
        from byoc.training.place import Place

    metrics = train(prepared, stop, Place())
    print(_kept(metrics), flush=True)
    kept = f"the weights of epoch {metrics['epoch']:g}"
    print(f"trained: {kept} are in {contract.model_dir()}{_ended_early()}", flush=True)


def _kept(metrics: Mapping[str, Any]) -> str:
    """The metrics of the model that is kept, as the last metric line of all.

    SageMaker's tuner takes the last value of a metric for the job's, whichever epoch it is of.
    """
    return "kept: " + metric_line({name: metrics[name] for name in ("epoch", *METRICS)})


def _ended_early() -> str:
    """By which rule, where one has ended training; its name stands in metrics.json."""
    rule = _results().get("ended_by_rule")
    return f"; training was ended early by rule {rule}" if rule else ""


def _results() -> dict[str, Any]:
    """metrics.json; empty where this host has none."""
    try:
        text = (contract.output_data_dir() / "metrics.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return {}
    return found


def _check_writable() -> None:
    """Raises ``TrainingFault`` where the model could not be written in the end."""
    folder = contract.model_dir()
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("probe")
        probe.unlink()
    except OSError as error:
        raise TrainingFault(f"cannot write to {folder}: {reason(error)}") from error


def prepare_libraries() -> None:
    """Settings that must stand before torch and tokenizers are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # torch's CPU allocator asks for huge pages: the gradients are memory anew in every step, and a
    # step of DistilBERT with short batches takes 12% less time when it comes in large pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from byoc import cuda

    cuda.use_compat()
    fault = cuda.driver_fault()
    if fault:
        raise TrainingFault(fault)


def _failed(error: BaseException) -> int:
    """Tells of the failure where SageMaker looks for it and where people do."""
    known = isinstance(error, TrainingFault)
    told = redact.secrets(cause(error))
    details = "" if known else redact.secrets("".join(traceback.format_exception(error)))
    if details:
        print(details, file=sys.stderr, flush=True)
    if not isinstance(error, ToldFault):
        contract.write_failure(f"{told}\n\n{details}" if details else f"{told}\n")
    print(f"train: {told}", file=sys.stderr, flush=True)
    return FAILED


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that were being handled as it came up."""
    while error is not None:
        yield error
        error = error.__context__


def cause(error: BaseException) -> str:
    """One line: what is wrong and, where it is known, what to do."""
    # Lightning makes exit(1) of Ctrl-C.
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return f"something called exit({error.code!r}) during training"
    text = " ".join(str(error).split())
    if isinstance(error, TrainingFault) and text:
        return text  # says what to do already, even where it is about memory
    if isinstance(error, MemoryError) or any(sign in text for sign in MEMORY_SIGNS):
        return (
            "out of memory: lower batch-size, raise gradient-accumulation-steps, or take a larger "
            f"instance ({text[:300] or type(error).__name__})"
        )
    # Killed as it starts, the loader's error is followed by one of Lightning's, as it cleans up.
    loader = next((it for it in _with_contexts(error) if "DataLoader worker" in str(it)), None)
    if loader is not None:
        said = " ".join(str(loader).split())
        return (
            "a loader process was killed: lower num-workers (0 needs none), or give the container "
            f"more memory and shared memory ({said[:300]})"
        )
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main()
