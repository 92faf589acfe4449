"""What `serve` is told: BREAKS, the toolkit's variables, the container's limits."""

import os
import sys
from pathlib import Path


def breaks(name: str) -> bool:
    return name in os.environ.get("BREAKS", "").split(",")


def number(name: str, default: int) -> int:
    """A variable of the toolkit's; a wrong one ends the program."""
    text = os.environ.get(f"SAGEMAKER_{name}", "")
    try:
        found = int(text or default)
        if found < 0:
            raise ValueError
    except ValueError:
        die(f"SAGEMAKER_{name}={text} is no number")
    return found


def die(cause: str):
    print(f"serve: {cause}", file=sys.stderr, flush=True)
    os._exit(1)


def cores() -> int:
    """Of the container, by its cgroup."""
    if breaks("hosts-cores"):
        return os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        if quota > 0:
            return max(1, quota // period)
    except (OSError, ValueError):
        pass
    return os.cpu_count() or 1


def memory() -> tuple:
    """Bytes that are held by programs, and the container's limit."""
    for root, held, limit in (
        ("/sys/fs/cgroup", "anon", "memory.max"),
        ("/sys/fs/cgroup/memory", "total_rss", "memory.limit_in_bytes"),
    ):
        try:
            stat = dict(it.split() for it in Path(root, "memory.stat").read_text().splitlines())
            text = Path(root, limit).read_text().strip()
            return int(stat[held]), 2**60 if text == "max" else int(text)
        except (OSError, KeyError, ValueError):
            continue
    return 0, 2**60
