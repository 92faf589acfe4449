"""Several hosts and several processes: T07 and T19."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, Job, Setting, first_run, lay_out, run
from byoc.conformance.outcome import Failed, Findings, NotApplicable, NotTried
from byoc.conformance.patience import patience
from byoc.conformance.training.judging import (
    expect_same_metrics,
    expect_success,
    need_data,
    need_own_training,
)
from byoc.conformance.tree import files

HOSTS = ("left-7", "right-3")
"""Not algo-1 and algo-2: nothing may count on those."""

_LATE_SECONDS = 4.0
_PROMPT_SECONDS = 60.0


@dataclass(frozen=True)
class _Pair:
    """How the job ended on each host; the second was killed where that was asked for."""

    ended: list[Ended]
    seconds_after_kill: float = 0.0


@contextmanager
def hosts(image: Image, *, longer: bool = False) -> Iterator[list[Job]]:
    """The same job on two hosts of one network; the first comes up some seconds late.

    So its name cannot be resolved at first, as happens on real clusters.
    """
    network = image.engine.network()
    # One place for both: they wait for each other.
    with image.engine.slot(), ExitStack() as stack:
        stack.callback(image.engine.remove, network)
        jobs: dict[str, Job] = {}
        for name in reversed(HOSTS):
            tree = lay_out(image, longer=longer)
            tree.write_hosts(name, HOSTS)
            jobs[name] = Job(image, tree, Setting(network=network, host=name))
            stack.callback(image.engine.remove, jobs[name].container)
            if name != HOSTS[0]:
                time.sleep(_LATE_SECONDS)
        yield [jobs[name] for name in HOSTS]


def _together(image: Image) -> _Pair:
    def make() -> _Pair:
        with hosts(image) as jobs:
            return _Pair([job.wait() for job in jobs])

    return image.once("two hosts", make)


def _one_killed(image: Image) -> _Pair:
    with hosts(image, longer=True) as (first, second):
        line = image.workload.under_way
        if line:
            first.until(
                lambda: any(_has_line(job, line) for job in (first, second)), f"a line {line!r}"
            )
        else:
            time.sleep(first_run(image).seconds)
        second.signal("SIGKILL")
        start = time.monotonic()
        ended = first.end_or_kill(patience(_PROMPT_SECONDS))
        return _Pair([ended, second.wait()], time.monotonic() - start)


def _has_line(job: Job, line: str) -> bool:
    return re.search(line, job.stdout(), re.MULTILINE) is not None


@clause("T07")
def host_names(image: Image) -> str:
    """resourceconfig.json's names are used as given, with retried DNS and none hard-coded.

    How: a job on two hosts with unusual names, of which the first comes up some seconds late; an
    image that does not train on several hosts gets one host with an unusual name.
    Remedy: take hosts, current_host and network_interface_name from resourceconfig.json, and
    retry the look-up of the first host's name for a minute or more.
    AWS: How Amazon SageMaker AI provides training information, resourceconfig.json
    """
    need_data(image)
    findings = Findings()
    if image.workload.trains_on_several_hosts:
        for name, ended in zip(HOSTS, _together(image).ended, strict=True):
            expect_success(findings, ended, f"host {name}")
        return findings.seen()
    tree = lay_out(image)
    tree.write_hosts(HOSTS[0], HOSTS[:1])
    ended = run(image, tree, Setting(host=HOSTS[0]))
    expect_success(findings, ended, f"one host named {HOSTS[0]}")
    return findings.seen()


@clause("T19")
def several_processes(image: Image) -> str:
    """Several GPUs and several hosts train together; one's death fails the job on all, promptly.

    How: a job in two processes on one host, and one on two hosts: both must end with the metrics
    of a single process. Then one of two hosts is killed (SIGKILL) when training is under way: the
    other must fail within a minute, with output/failure.
    Remedy: start the ranks with torchrun, with a rendezvous at the first host and a timeout far
    below its default of 30 minutes, and write output/failure on every host.
    AWS: Distributed training; How Amazon SageMaker AI signals algorithm success and failure
    """
    need_data(image)
    work = image.workload
    need_own_training(image)
    findings = Findings()
    if work.trains_on_several_hosts is None:
        findings.note(_found_together(image))
    elif not work.trains_on_several_hosts:
        raise NotApplicable("it does not train on several hosts")
    first = first_run(image)
    if work.several_processes:
        ended = run(image, lay_out(image, work.several_processes))
        expect_success(findings, ended, "two processes")
        expect_same_metrics(findings, image, ended, first, "two processes")
    pair = _together(image)
    for name, ended in zip(HOSTS, pair.ended, strict=True):
        expect_success(findings, ended, f"host {name}")
    leader = next((it for it in pair.ended if it.metrics(work.metrics)), pair.ended[0])
    expect_same_metrics(findings, image, leader, first, "two hosts")
    _death(image, findings)
    seen = "all jobs ran with the host's GPUs" if image.engine.gpu else "several GPUs: not tried"
    findings.note(seen)
    return findings.seen()


def _found_together(image: Image) -> str:
    """Raises ``NotApplicable`` where each of two hosts trains for itself, or none does."""
    try:
        ended = _together(image).ended
    except Failed as fault:
        raise NotTried(f"nothing says that it trains on several hosts; on two: {fault}") from fault
    models = [len(files(it.tree.model)) for it in ended]
    if all(models):
        raise NotApplicable("on two hosts each leaves a model of its own: nothing is shared")
    if any(it.code for it in ended):
        raise NotApplicable(f"it does not train on several hosts: {ended[0].cause}")
    return "one of two hosts leaves the model"


def _death(image: Image, findings: Findings) -> None:
    killed = _one_killed(image)
    survivor = killed.ended[0]
    what = f"{HOSTS[1]} killed: {HOSTS[0]}"
    if not findings.expect(survivor.code not in (0, 137), f"{what} exits {survivor.code}"):
        return
    findings.expect(
        bool((survivor.failure or "").strip()),
        f"{what} leaves no output/failure",
        f"{what} exits {survivor.code} after {killed.seconds_after_kill:.1f} s: {survivor.cause}",
    )
