"""Starts and ends the process that samples the machine (`byoc.debugger.capture.sampling`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from byoc import contract

GRACE_SECONDS = 2.0


class Sampler:
    """``profiler``: the folder that gets system/; one for each host."""

    def __init__(self, profiler: Path, node: str, seconds: float) -> None:
        profiler.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "byoc.debugger.capture.sampling",
                str(profiler.resolve()),
                node,
                str(seconds),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> None:
        """Its last sample is on disk then."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def node_name() -> str:
    """algo-N by this host's place among the job's: smdebug's readers take no other name."""
    found = contract.read_config("resourceconfig.json", default={}) or {}
    hosts = sorted(found.get("hosts") or [])
    current = found.get("current_host")
    number = hosts.index(current) + 1 if current in hosts else 1
    return f"algo-{number}"
