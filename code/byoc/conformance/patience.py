"""How long to wait for what no clause sets a time for: a busy machine makes everything slow."""

from __future__ import annotations

import os

MOST = 4.0
"""So many times as long, at most: an image that never does what it should holds up all others."""


def patience(seconds: float) -> float:
    """So many seconds where a core is free, more where processes wait for one."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * min(MOST, max(1.0, busy))
