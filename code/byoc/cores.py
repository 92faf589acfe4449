"""How many CPU cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """CPU cores that this container may use: its affinity and its cgroup's quota, not the host's.

    Source: the kernel's cgroup documentation, cpu.max (v2) and cpu.cfs_quota_us (v1).
    """
    cores = len(os.sched_getaffinity(0))
    quota = _quota(root / "sys/fs/cgroup")
    return max(1, min(cores, int(quota))) if quota else cores


def _quota(cgroup: Path) -> float | None:
    """How many cores' worth of time the cgroup has; None where nothing limits it."""
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return None if limit in {"max", "-1"} else max(1.0, int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
