"""Who made a container, a network or a folder: so that those of dead runs can be removed."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def current() -> str:
    """HOST-PID-START of this process: the start time tells it from a later one with its id."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_start(pid)}"


def is_gone(owner: str) -> bool:
    """True where the owner ran on this machine and no longer does.

    An owner on another machine (several may share an engine) is never called gone.
    """
    host, _, process = owner.partition("-")
    pid, _, start = process.partition("-")
    if host != _host() or not pid.isdigit():
        return False
    return _start(int(pid)) != start


def _host() -> str:
    return socket.gethostname().replace("-", "_")


def _start(pid: int) -> str:
    """When the process started, in clock ticks since boot; where there is no /proc, 0 if it lives.

    An empty text where it does not live.
    """
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if words[0] == "Z" else words[19]
    except OSError:
        pass
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"
