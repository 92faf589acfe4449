"""`python -m byoc.debugger.capture.sampling FOLDER NODE SECONDS`: samples the machine, until ended.

A process of its own, so that it samples on time while training holds Python's lock, and so that its
cost can be seen. Imports no library: it is small (about 12 MB) and starts at once.

Writes FOLDER/system/incremental/YYYYMMDDHH/MINUTE.NODE.json as SageMaker does: a file a minute,
named by the minute's first second.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from byoc.debugger.capture.machine import Machine, Sample, gpu_samples
from byoc.debugger.capture.nvml import Nvml
from byoc.debugger.layout import INCREMENTAL, SYSTEM


class EndedError(Exception):
    """The training process asked for the end, or is gone."""


def main() -> None:
    folder, node, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # when training is killed, this ends as well
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to training
    try:
        _sample(folder / SYSTEM / INCREMENTAL, node, seconds, parent)
    except EndedError:
        return
    except OSError as error:
        said = error.strerror or str(error)
        print(f"debugging: system metrics end: {said}; training goes on", file=sys.stderr)
        sys.exit(1)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise EndedError


def _sample(folder: Path, node: str, seconds: float, parent: int) -> None:
    machine = Machine()
    try:
        gpus = Nvml()
    except (OSError, AttributeError):
        gpus = None
    due = time.monotonic()
    while os.getppid() == parent:
        # By a clock, so that the work of a sample does not put off the next; after a pause of the
        # whole machine not all at once.
        due = max(due + seconds, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        samples = list(machine.read())
        for reading in gpus.read() if gpus else ():
            samples += gpu_samples(reading)
        _write(folder, node, samples)


def _write(folder: Path, node: str, samples: list[Sample]) -> None:
    """One write of whole lines; raises ``OSError``."""
    now = time.time()
    path = (
        folder / time.strftime("%Y%m%d%H", time.gmtime(now)) / f"{int(now // 60) * 60}.{node}.json"
    )
    lines = [
        json.dumps(
            {
                "Type": kind,
                "Name": name,
                "Dimension": dimension,
                "Value": round(value, 2),
                "NodeId": node,
                "Timestamp": round(now, 6),
            }
        )
        for kind, name, dimension, value in samples
    ]
    text = ("\n".join(lines) + "\n").encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o644)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
