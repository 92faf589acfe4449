"""Load on a server, by wrk: real sentences, closed loop or open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PROGRAM = "wrk"
OPEN_CONNECTIONS = 128
"""Of the open loop: so many that few of them wait when the next request is due."""

_SCRIPT = """\
local bodies = {}
for line in io.lines(os.getenv("BENCH_BODIES")) do bodies[#bodies + 1] = line end
local mean = tonumber(os.getenv("BENCH_PAUSE"))
local number = math.random(#bodies)
math.randomseed(7)
request = function()
  number = number + 1
  if wrk.path ~= "/invocations" then return wrk.format("GET") end
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"},
    bodies[number % #bodies + 1])
end
if mean > 0 then
  delay = function() return math.floor(-math.log(1 - math.random()) * mean + 0.5) end
end
done = function(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    'RESULT {"rate": %f, "p50": %f, "p95": %f, "p99": %f, "requests": %d, "failed": %d}\\n',
    (summary.requests - errors.status) / summary.duration * 1e6, latency:percentile(50) / 1e3,
    latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, summary.requests,
    errors.status + lost))
end
"""


class LoadError(Exception):
    """wrk could not be run, in one line."""


@dataclass(frozen=True)
class Load:
    """What a server did under one load; latencies in milliseconds."""

    rate: float
    """Requests a second that were answered with 2xx."""
    p50: float
    p95: float
    p99: float
    requests: int
    failed: int
    """Replies that are no 2xx, and requests without one."""


def between(loads: Sequence[Load]) -> Load:
    """The medians of several runs under the same load; counts are summed."""
    return Load(
        rate=median(it.rate for it in loads),
        p50=median(it.p50 for it in loads),
        p95=median(it.p95 for it in loads),
        p99=median(it.p99 for it in loads),
        requests=sum(it.requests for it in loads),
        failed=sum(it.failed for it in loads),
    )


class Sender:
    """Sends each of the texts in turn as a request of its own; to other paths than /invocations
    a GET."""

    def __init__(self, texts: Sequence[str], scratch: Path) -> None:
        if shutil.which(PROGRAM) is None:
            raise LoadError(f"{PROGRAM} is not installed: apt-get install {PROGRAM}")
        self._bodies = scratch / "bodies"
        lines = (json.dumps({"inputs": text}) for text in texts)
        self._bodies.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._script = scratch / "load.lua"
        self._script.write_text(_SCRIPT, encoding="utf-8")

    def closed(self, url: str, connections: int, seconds: float) -> Load:
        """Each connection sends its next request as soon as it has its reply."""
        return self._run(url, connections, seconds, pause=0.0)

    def open(self, url: str, rate: float, seconds: float) -> Load:
        """Requests come at random times, so many a second, whether others are answered or not.

        Nearly so: 128 connections that each pause for a while, exponentially distributed, after a
        reply; one that waits for its reply sends nothing meanwhile.
        """
        return self._run(url, OPEN_CONNECTIONS, seconds, pause=OPEN_CONNECTIONS / rate * 1000)

    def _run(self, url: str, connections: int, seconds: float, pause: float) -> Load:
        command = [PROGRAM, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "60s", "-s", str(self._script), url]
        environment = {
            **os.environ,
            "BENCH_BODIES": str(self._bodies),
            "BENCH_PAUSE": str(pause),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not found:
            raise LoadError(f"{PROGRAM}: {(done.stderr or done.stdout).strip()[:200]}")
        return Load(**json.loads(found[0].removeprefix("RESULT ")))
