"""How the image starts: T01 to T03."""

from __future__ import annotations

from byoc.conformance.clauses import clause
from byoc.conformance.contents import under_opt_ml
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, Setting, first_run, lay_out, run
from byoc.conformance.outcome import Failed, Findings
from byoc.conformance.training.judging import (
    expect_same_metrics,
    expect_success,
    need_data,
    trains,
)
from byoc.conformance.training.stopped import stopped_run, whole_run
from byoc.conformance.tree import files

_SHELLS = ("sh", "bash", "dash", "ash")


@clause("T01")
def trains_with_and_without_a_command(image: Image) -> str:
    """`docker run IMAGE train` trains, and so does no command; overridden ones run.

    How: one job with the command `train`, one with none, one with the entry point replaced by
    `bash -c 'exec train'`; and a bare `bash -c`.
    Remedy: put a program named train on PATH, name it in CMD (SDK v3's local mode passes no
    command), and set no ENTRYPOINT that swallows other commands.
    AWS: How Amazon SageMaker AI runs your training image
    """
    findings = Findings()
    _other_command(image, findings)
    first = first_run(image)
    if not trains(image):
        findings.seen()
        need_data(image)
    expect_success(findings, first, "train")
    bare = run(image, lay_out(image), Setting(None))
    _expect_trained(findings, image, bare, "no command")
    replaced = Setting(("exec train",), entrypoint=("bash", "-c"))
    _expect_trained(findings, image, run(image, lay_out(image), replaced), "entry point bash -c")
    return findings.seen()


def _expect_trained(findings: Findings, image: Image, ended: Ended, what: str) -> None:
    """As the first run did: a shell that finds nothing to do exits 0 as well."""
    first = first_run(image)
    if not expect_success(findings, ended, what):
        return
    if files(first.tree.model) and not files(ended.tree.model):
        findings.expect(False, f"{what}: exit 0, but nothing is trained: model/ is empty")
        return
    expect_same_metrics(findings, image, ended, first, what)


def _other_command(image: Image, findings: Findings) -> None:
    try:
        word = run(image, lay_out(image), Setting(("bash", "-c", "echo $0 runs")), 60)
    except Failed as fault:
        findings.expect(False, f"bash -c: {fault}")
        return
    findings.expect(
        word.code == 0 and "bash runs" in word.stdout,
        f"bash -c: exit {word.code}: {word.cause}",
        "bash -c runs",
    )


@clause("T02")
def first_process_takes_signals(image: Image) -> str:
    """Entry point in exec form; PID 1 trains, or passes signals on to what does.

    How: ENTRYPOINT and CMD are looked at; PID 1 of a running job is named, and SIGTERM to it must
    end the job before SIGKILL does.
    Remedy: write ENTRYPOINT and CMD as JSON lists, and end a start script with `exec`.
    AWS: How Amazon SageMaker AI runs your training image
    """
    findings = Findings()
    for name in ("Entrypoint", "Cmd"):
        words = image.config.get(name) or []
        is_shell = len(words) > 1 and words[0].split("/")[-1] in _SHELLS and words[1] == "-c"
        findings.expect(not is_shell, f"{name} is in shell form: {' '.join(words)}")
    findings.note(f"CMD {image.config.get('Cmd')}, ENTRYPOINT {image.config.get('Entrypoint')}")
    if not trains(image):
        findings.note("signals not tried: no --channel given")
        return findings.seen()
    stopped = stopped_run(image)
    findings.expect(
        stopped.ended.code != 137,
        f"SIGTERM did not end PID 1 ({stopped.first_process}): it had to be killed",
    )
    findings.expect(
        not _went_on(image, stopped.ended),
        f"SIGTERM to PID 1 ({stopped.first_process}) was not heard: the job went on to its end",
        f"PID 1 is {stopped.first_process!r}, and SIGTERM ended it",
    )
    return findings.seen()


def _went_on(image: Image, ended: Ended) -> bool:
    """Exit 0 with all that a job prints that was never stopped."""
    definitions = image.workload.metrics
    found = ended.metrics(definitions)
    return ended.code == 0 and bool(found) and found == whole_run(image).metrics(definitions)


@clause("T03")
def nothing_needed_under_opt_ml(image: Image) -> str:
    """Nothing that the program needs lies under /opt/ml, over which SageMaker mounts.

    How: the image's files under /opt/ml are listed; jobs run with /opt/ml mounted over.
    Remedy: install the program elsewhere, for example under /opt/program.
    AWS: How Amazon SageMaker AI provides training information
    """
    findings = Findings()
    below = under_opt_ml(image)
    if trains(image):
        expect_success(findings, first_run(image), "with /opt/ml mounted over")
        if below:
            findings.note(f"{len(below)} files under /opt/ml are hidden, and not missed")
    else:
        findings.expect(not below, f"/{below[0] if below else ''} would be hidden")
    findings.note(f"{len(below)} files under /opt/ml in the image")
    return findings.seen()
