"""SIGTERM, checkpoints and what comes after a restart: T12, T13 and T18."""

from __future__ import annotations

import re
import time
from pathlib import Path

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, lay_out, run, started
from byoc.conformance.outcome import Failed, Findings, TooSlow
from byoc.conformance.training.judging import (
    expect_same_metrics,
    expect_success,
    need_data,
    need_own_training,
    torn,
)
from byoc.conformance.training.scripts import script_tree
from byoc.conformance.training.stopped import killed_run, stopped_run, whole_run
from byoc.conformance.tree import copy, files

UPLOADING = ".sagemaker-uploading"
"""What SageMaker appends to its own copy of a file while it uploads it from checkpoints/."""

_KILLED = 137

_SIGNALLED = """
import signal, sys, time

def stop(number, frame):
    with open("/opt/ml/model/signalled", "w") as stream:
        stream.write(str(time.time()))

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
deadline = time.time() + 100
while time.time() < deadline:
    try:
        at = float(open("/opt/ml/model/signalled").read())
    except (OSError, ValueError):
        at = None
    if at and time.time() > at + 3:
        open("/opt/ml/model/finished", "w").write("in peace")
        sys.exit(0)
    time.sleep(0.02)
"""


@clause("T12")
def stops_in_order(image: Image) -> str:
    """SIGTERM: state checkpointed, best model in model/, orderly exit whose code says stopped.

    How: SIGTERM to a job of several epochs when it is under way; the end must come well before
    SageMaker's SIGKILL at 120 s, with a code other than 0 and 137 and files in model/ and
    checkpoints/; in script mode a user's script must hear of it within 1 s and get its grace.
    Remedy: handle SIGTERM in PID 1, let the training loop stop after its step, save, and exit 143;
    in script mode pass the signal on, which sagemaker-training does not.
    AWS: Managed Spot Training; StopTrainingJob; CreateTrainingJob, StoppingCondition
    """
    need_data(image)
    findings = Findings()
    work = image.workload
    late = not work.is_a_script and _image_stops(image, findings)
    if work.has_script_mode:
        late = _script_hears(image, findings) or late
    seen = findings.seen()
    if late:
        raise TooSlow(f"in order, but late (limit {work.stop_seconds:.0f} s, script 1 s)", seen)
    return seen


def _image_stops(image: Image, findings: Findings) -> bool:
    """SIGTERM while the image itself trains; True where it ended too late."""
    work, stopped = image.workload, stopped_run(image)
    code = stopped.ended.code
    right = code in work.stopped_codes if work.stopped_codes else code not in (0, _KILLED)
    findings.expect(right, f"exit {code}: {stopped.ended.cause}", f"exit {code}")
    findings.note(f"{stopped.seconds:.1f} s after SIGTERM")
    for name, folder in (
        ("model/", stopped.ended.tree.model),
        ("checkpoints/", stopped.ended.tree.checkpoints),
    ):
        found = [path.name for path in files(folder)]
        findings.expect(bool(found), f"{name} is empty", f"{name}: {', '.join(found[:8])}")
        broken = [path.name for path in files(folder) if torn(path)]
        findings.expect(not broken, f"torn in {name}: {', '.join(broken)}")
    return stopped.seconds > work.stop_seconds


def _script_hears(image: Image, findings: Findings) -> bool:
    """SIGTERM while a user's script runs; True where it heard of it too late."""
    with started(image, script_tree(image, _SIGNALLED)) as job:
        job.until_line("^ready")
        sent = time.time()
        job.signal("SIGTERM")
        ended = job.end_or_kill(120)
    try:
        delay = float((ended.tree.model / "signalled").read_text(encoding="utf-8")) - sent
    except (OSError, ValueError):
        findings.expect(False, "script mode: the script never heard of SIGTERM")
        return False
    findings.note(f"script mode: heard after {delay:.2f} s, exit {ended.code}")
    finished = (ended.tree.model / "finished").is_file()
    findings.expect(finished, "script mode: killed before it could finish")
    codes = image.workload.stopped_codes
    right = ended.code in codes if codes else ended.code != 0
    findings.expect(right, f"script mode: exit {ended.code}: nothing says that it was stopped")
    return delay > 1


@clause("T13")
def checkpoints(image: Image) -> str:
    """Training resumes from the newest whole checkpoint; torn and foreign files are passed over.

    How: a job is killed (SIGKILL) when it has written checkpoints: none may be torn under its
    final name. The newest is then cut in half, a copy gets the ending of a running upload, files
    of somebody else are laid beside; the same job must train on to the same end.
    Remedy: write a checkpoint under another name, flush it to disk and rename it; read back with
    checks, and go on to the next older one where they fail.
    AWS: Checkpoints in Amazon SageMaker AI
    """
    need_data(image)
    need_own_training(image)
    findings = Findings()
    killed = killed_run(image)
    kept = [path for path in files(killed.tree.checkpoints) if not _is_partial(path)]
    if not kept:
        # One that writes at SIGTERM only has none to lose here.
        killed = stopped_run(image).ended
        kept = files(killed.tree.checkpoints)
    if not kept:
        raise Failed("checkpoints/ is empty, when killed as when stopped")
    broken = [path.name for path in kept if torn(path)]
    findings.expect(
        not broken,
        f"torn under its final name: {', '.join(broken)}",
        f"whole after the kill: {', '.join(path.name for path in kept[:6])}",
    )
    tree = lay_out(image, longer=True)
    copy(killed.tree.checkpoints, tree.checkpoints)
    cut = _spoil(tree.checkpoints, max(kept, key=lambda it: it.stat().st_mtime).name)
    ended = run(image, tree)
    expect_success(findings, ended, f"with {cut} cut in half and foreign files beside")
    expect_same_metrics(findings, image, ended, whole_run(image), "in the end")
    if image.workload.resumed and len(kept) > 1:
        _expect_resumed(findings, image, ended)
    return findings.seen()


def _is_partial(path: Path) -> bool:
    """A file that its writer marked as not finished; hidden ones count as that."""
    endings = {".tmp", ".partial", ".part", ".incomplete", UPLOADING}
    return path.name.startswith(".") or path.suffix in endings


def _spoil(folder: Path, newest: str) -> str:
    """Cuts the newest checkpoint in half and lays strange files beside it; returns its name."""
    path = next(it for it in files(folder) if it.name == newest)
    content = path.read_bytes()
    (path.parent / f"{path.name}{UPLOADING}").write_bytes(content)
    later = re.sub(r"\d+", "9999999999", path.name)
    if later != path.name:
        (path.parent / later).write_bytes(b"\x10" * 4096)
    (path.parent / "notes.txt").write_text("somebody else's", encoding="utf-8")
    (path.parent / f"foreign{path.suffix}").write_bytes(b"not a checkpoint")
    path.write_bytes(content[: len(content) // 2])
    return newest


def _expect_resumed(findings: Findings, image: Image, ended: Ended) -> None:
    line = re.search(f"{image.workload.resumed}.*", ended.stdout, re.MULTILINE)
    findings.expect(line is not None, "it began anew", line[0] if line else "")
    if line is not None:
        findings.expect(UPLOADING not in line[0], f"it read an upload's copy: {line[0]}")


@clause("T18")
def spot_restart(image: Image) -> str:
    """The same job, stopped and started again with its checkpoints/, ends with the same metrics.

    How: a job that SIGTERM stopped is started again on a new tree with its checkpoints/ and
    nothing else; it must go on rather than begin anew, and end with the metrics of a job that was
    never stopped.
    Remedy: keep optimizer, schedule, step, best model and order of the data in the checkpoint, and
    derive everything random from the seed and the step.
    AWS: Managed Spot Training; Checkpoints in Amazon SageMaker AI
    """
    need_data(image)
    need_own_training(image)
    findings = Findings()
    stopped, whole = stopped_run(image).ended, whole_run(image)
    expect_success(findings, whole, "never stopped")
    if not files(stopped.tree.checkpoints):
        raise Failed("the stopped job left no checkpoint")
    tree = lay_out(image, longer=True)
    copy(stopped.tree.checkpoints, tree.checkpoints)
    ended = run(image, tree)
    expect_success(findings, ended, "started again")
    if image.workload.resumed:
        _expect_resumed(findings, image, ended)
    if image.workload.under_way:
        repeated = re.search(image.workload.under_way, ended.stdout, re.MULTILINE)
        findings.expect(repeated is None, "it trained again what was done before the stop")
    expect_same_metrics(findings, image, ended, whole, "in the end")
    return findings.seen()
