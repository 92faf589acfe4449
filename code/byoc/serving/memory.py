"""How much memory this container may still take, by its cgroup and by the machine."""

from __future__ import annotations

from pathlib import Path

_NO_LIMIT = 1 << 60
"""cgroup v1 writes a number near 2^63 where there is no limit."""


def available(root: Path = Path("/")) -> int:
    """Bytes; file pages that the kernel would give back count as free.

    Source: the kernel's cgroup documentation, memory.max, memory.current and memory.stat (v2),
    memory.limit_in_bytes, memory.usage_in_bytes and memory.stat (v1).
    """
    machine = _field(root / "proc/meminfo", "MemAvailable:", 1024)
    free = [machine] if machine is not None else []
    cgroup = root / "sys/fs/cgroup"
    for folder, limit, used, kept in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (
            cgroup / "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and taken is not None and most < _NO_LIMIT:
            free.append(most - taken + (_field(folder / "memory.stat", kept) or 0))
    return max(0, min(free, default=_NO_LIMIT))


def private(pid: int) -> int:
    """Bytes that go with this process when it ends; 0 where it has gone."""
    path = Path(f"/proc/{pid}/smaps_rollup")
    clean, dirty = (_field(path, f"Private_{kind}:", 1024) or 0 for kind in ("Clean", "Dirty"))
    return clean + dirty


def _number(path: Path) -> int | None:
    """None where there is no such file, or it says ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str, factor: int = 1) -> int | None:
    """The number after a name, in a file of lines of them."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for words in map(str.split, lines):
        if words and words[0] == name:
            return int(words[1]) * factor
    return None
