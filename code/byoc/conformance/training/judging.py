"""What clauses of training ask again and again of how a job ended."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from byoc.conformance.image import Image
from byoc.conformance.job import Ended, first_run
from byoc.conformance.outcome import Failed, Findings, NotTried

FAILURE_LIMIT = 1024
"""So many characters of output/failure become the job's FailureReason."""

SAME = 1e-4
"""Metrics of two runs that should not differ may differ by so much: printed digits, and the order
in which several processes' sums are added."""


def trains(image: Image) -> bool:
    """False where nobody said what the image trains on, and an empty channel is not enough."""
    try:
        return not image.workload.is_a_guess or first_run(image).code == 0
    except Failed:
        return False


def need_data(image: Image) -> None:
    """Raises ``NotTried`` where nothing is known that the image would train on."""
    if trains(image):
        return
    try:
        first = first_run(image)
    except Failed as fault:
        raise NotTried(f"no --channel given, and with an empty one: {fault}") from fault
    raise NotTried(
        f"no --channel given, and with an empty one: exit {first.code}: {first.cause[:200]}"
    )


def need_given_data(image: Image) -> None:
    """The same, and where the data are not the image's own to read."""
    if image.workload.is_a_guess:
        raise NotTried("no --channel given: what this image trains on is not known")
    need_own_training(image)


def need_own_training(image: Image) -> None:
    """Raises ``NotTried`` where the check's own script is what trains."""
    if image.workload.is_a_script:
        raise NotTried("what trains is the user's script: this is the script's to keep")


def expect_success(findings: Findings, ended: Ended, what: str) -> bool:
    return findings.expect(
        ended.code == 0,
        f"{what}: exit {ended.code}: {ended.cause}",
        f"{what}: exit 0 after {ended.seconds:.1f} s",
    )


def expect_failure(findings: Findings, ended: Ended, what: str, words: Iterable[str] = ()) -> None:
    """Non-zero, and a failure file that begins with a cause; the cause has these words."""
    if not findings.expect(ended.code != 0, f"{what}: exit 0"):
        return
    text = (ended.failure or "").strip()
    if not findings.expect(bool(text), f"{what}: exit {ended.code}, but no output/failure"):
        return
    first, told = text.splitlines()[0], text[:FAILURE_LIMIT].lower()
    findings.expect(
        not first.lower().startswith(("traceback", "file ", "framework error")),
        f"{what}: output/failure begins with {first[:60]!r}, not with the cause",
    )
    missing = [word for word in words if word.lower() not in told]
    findings.expect(
        not missing,
        f"{what}: output/failure names no {', '.join(missing)} in its first {FAILURE_LIMIT} "
        f"characters: {first[:200]}",
        f"{what}: exit {ended.code}, {first[:120]!r}",
    )


def expect_same_metrics(
    findings: Findings, image: Image, ended: Ended, other: Ended, what: str
) -> None:
    """The last metrics on stdout agree; says so where no metric is known to compare."""
    definitions = image.workload.metrics
    found, wanted = ended.metrics(definitions), other.metrics(definitions)
    if not wanted:
        findings.note(f"{what}: metrics not compared, none is defined")
        return
    odd = [
        f"{name}={found.get(name)}, not {value}"
        for name, value in wanted.items()
        if not _agree(found.get(name), value)
    ]
    findings.expect(not odd, f"{what}: {', '.join(odd)}", f"{what}: the same metrics")


def _agree(one: str | None, other: str) -> bool:
    if one is None:
        return False
    try:
        return math.isclose(float(one), float(other), rel_tol=SAME, abs_tol=SAME)
    except ValueError:
        return one == other


def torn(path: Path) -> bool:
    """True for a .safetensors file that is not whole; other forms cannot be judged from outside.

    Source: the format's own description: 8 bytes with the header's length, a JSON header whose
    data_offsets count from the header's end.
    """
    if path.suffix != ".safetensors":
        return False
    content = path.read_bytes()
    try:
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        ends = [it["data_offsets"][1] for name, it in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError):
        return True
    return len(content) != end + max(ends, default=0)
