"""CPU, memory, disk and network of this machine, or of this container, from /proc and cgroups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Sample = tuple[str, str, str, float]
"""Type, Name, Dimension, Value: SageMaker's words (`byoc.debugger.run.Series`)."""

SECTOR = 512
"""Bytes; /proc/diskstats counts in these whatever the disk's own are."""

_UNLIMITED = 1 << 60


class Machine:
    """Rates are those since the last call; ``root`` is where /proc and /sys are, for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc, self._cgroup = root / "proc", root / "sys/fs/cgroup"
        self._limit = self._memory_limit()
        self._cpu = self._cpu_times()
        self._disk, self._network = self._disk_counts(), self._network_counts()
        self._then = time.monotonic()

    def read(self) -> Iterator[Sample]:
        now = time.monotonic()
        seconds = max(1e-3, now - self._then)
        self._then = now
        yield from self._cpus()
        yield from self._memory()
        before, self._disk = self._disk, self._disk_counts()
        of_disks = ("IOPS", "ReadThroughputInBytesPerSecond", "WriteThroughputInBytesPerSecond")
        for name, old, new in zip(of_disks, before, self._disk, strict=True):
            yield "i/o", name, "", max(0.0, (new - old) / seconds)
        earlier, self._network = self._network, self._network_counts()
        of_networks = ("ReceiveBytesPerSecond", "TransmitBytesPerSecond")
        for name, old, new in zip(of_networks, earlier, self._network, strict=True):
            yield "network", name, "Algorithm", max(0.0, (new - old) / seconds)

    def _cpus(self) -> Iterator[Sample]:
        before, self._cpu = self._cpu, self._cpu_times()
        for core, (total, idle, waiting) in self._cpu.items():
            old_total, old_idle, old_waiting = before.get(core, (total, idle, waiting))
            passed = total - old_total
            if passed <= 0:
                continue
            # Waiting for a disk is idle time too.
            busy = passed - (idle - old_idle) - (waiting - old_waiting)
            yield "cpu", core, "CPUUtilization", _percent(busy, passed)
            yield "cpu", core, "I/OWaitPercentage", _percent(waiting - old_waiting, passed)

    def _cpu_times(self) -> dict[str, tuple[int, int, int]]:
        """Ticks of each core since the start: all, idle, waiting for a disk."""
        found = {}
        for line in self._lines("stat"):
            words = line.split()
            if words[0].startswith("cpu") and words[0] != "cpu":
                # guest times, the last two, are part of user and nice
                ticks = [int(word) for word in words[1:9]]
                found[words[0]] = (sum(ticks), ticks[3], ticks[4])
        return found

    def _memory(self) -> Iterator[Sample]:
        used, total = self._memory_use()
        if total:
            yield "memory", "MemoryUsedPercent", "", _percent(used, total)
            yield "memory", "MemoryUsedBytes", "", float(used)

    def _memory_use(self) -> tuple[int, int]:
        """Of the container where it has a limit; without what is only cached."""
        kilobytes = {
            name: int(value.split()[0]) * 1024
            for name, _, value in (line.partition(":") for line in self._lines("meminfo"))
            if name in ("MemTotal", "MemAvailable")
        }
        total = kilobytes.get("MemTotal", 0)
        if not self._limit or self._limit >= total:
            return total - kilobytes.get("MemAvailable", 0), total
        current = self._number("memory.current") or self._number("memory/memory.usage_in_bytes")
        cached = 0
        for name, key in (
            ("memory.stat", "inactive_file"),
            ("memory/memory.stat", "total_inactive_file"),
        ):
            for line in _read(self._cgroup / name):
                if line.startswith(key + " "):
                    cached = int(line.split()[1])
        return max(0, current - cached), self._limit

    def _memory_limit(self) -> int:
        """Bytes, by cgroup v2 or v1; 0 where there is none."""
        found = self._number("memory.max") or self._number("memory/memory.limit_in_bytes")
        return found if found < _UNLIMITED else 0

    def _number(self, name: str) -> int:
        lines = _read(self._cgroup / name)
        return int(lines[0]) if lines and lines[0].isdigit() else 0

    def _disk_counts(self) -> tuple[int, int, int]:
        """Operations, bytes read, bytes written: of whole disks, not of their partitions too."""
        counts = [0, 0, 0]
        seen: list[str] = []
        for line in self._lines("diskstats"):
            words = line.split()
            name = words[2] if len(words) > 10 else ""
            if not name or name.startswith(("loop", "ram", "dm-", "md", "zram")):
                continue
            if any(name.startswith(disk) for disk in seen):
                continue
            seen.append(name)
            counts[0] += int(words[3]) + int(words[7])
            counts[1] += int(words[5]) * SECTOR
            counts[2] += int(words[9]) * SECTOR
        return counts[0], counts[1], counts[2]

    def _network_counts(self) -> tuple[int, int]:
        """Bytes received and sent by all interfaces but the loopback."""
        received = sent = 0
        for line in self._lines("net/dev"):
            name, colon, counts = line.partition(":")
            if colon and name.strip() != "lo":
                words = counts.split()
                received, sent = received + int(words[0]), sent + int(words[8])
        return received, sent

    def _lines(self, name: str) -> list[str]:
        return _read(self._proc / name)


def gpu_samples(reading: Any) -> Iterator[Sample]:
    """Of an `nvml.Reading`."""
    named = {
        "GPUUtilization": reading.utilization,
        "GPUMemoryUtilization": reading.memory,
        "GPUMemoryUsedBytes": reading.memory_bytes,
        "GPUPowerWatts": reading.watts,
        "GPUTemperatureCelsius": reading.celsius,
    }
    for dimension, value in named.items():
        if value is not None:
            yield "gpu", f"gpu{reading.index}", dimension, value


def _percent(part: float, whole: float) -> float:
    return min(100.0, max(0.0, 100.0 * part / whole))


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []  # not every kernel and container has every file
