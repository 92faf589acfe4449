"""What the job is given: hyperparameters and channels, T04 to T06."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, first_run, lay_out, run
from byoc.conformance.outcome import Findings
from byoc.conformance.training.judging import (
    expect_failure,
    expect_same_metrics,
    expect_success,
    need_data,
    need_given_data,
)
from byoc.conformance.training.scripts import EXTRA, script_run
from byoc.conformance.tree import Tree, files, make_fifo, scatter

_CANARY = "byoc-check-canary"

_PLATFORM = {
    "sagemaker_job_name": json.dumps(_CANARY),
    "sagemaker_region": '"eu-west-1"',
    "sagemaker_container_log_level": "20",
    "_tuning_objective_metric": f"{_CANARY}-metric",
}
"""As the SDK and the tuner send them: texts quoted by the one, and not by the other."""

_UNKNOWN = {"no-such-hyperparameter": "1", "nor-this-one": "x"}

_PARTS = 64


@clause("T04")
def hyperparameters(image: Image) -> str:
    """Hyperparameters are read, plain or JSON-quoted; all faults are told at once, before any work.

    How: a job with every value JSON-quoted and the platform's own names among them must train as
    the plain one does, with no such name in model/; a job with unknown names and unreadable values
    and no channel at all must fail and name every one; in script mode all reach the script.
    Remedy: parse each value with a fall-back to the plain string, drop `sagemaker_*` and
    `_tuning_objective_metric`, and validate everything before reading data.
    AWS: How Amazon SageMaker AI provides training information, hyperparameters.json
    """
    need_data(image)
    findings = Findings()
    _quoted(image, findings)
    if not image.workload.is_a_script:
        wrong = {**_UNKNOWN, **image.workload.wrong}
        ended = run(image, lay_out(image, wrong, channels={}))
        expect_failure(findings, ended, "unknown and unreadable ones", wrong)
        findings.expect(not files(ended.tree.model), "unknown ones: model/ is not empty")
    if image.workload.has_script_mode:
        script = script_run(image)
        if expect_success(findings, script.ended, "script mode"):
            missing = [it for it in EXTRA if f"--{it}" not in script.arguments]
            findings.expect(
                not missing,
                f"script mode: no argument for {missing}",
                "script mode: all are arguments",
            )
    return findings.seen()


def _quoted(image: Image, findings: Findings) -> None:
    """The short job again, with quoted values and the platform's names."""
    quoted = {name: json.dumps(it) for name, it in image.workload.hyperparameters.items()}
    tree = lay_out(image)
    tree.write_config("hyperparameters.json", {**quoted, **_PLATFORM})
    ended = run(image, tree)
    expect_success(findings, ended, "JSON-quoted, with the platform's names")
    expect_same_metrics(findings, image, ended, first_run(image), "JSON-quoted")
    reached = [path.name for path in files(tree.model) if _CANARY.encode() in path.read_bytes()]
    findings.expect(not reached, f"the platform's names reached {', '.join(reached)} in model/")


@clause("T05")
def channels(image: Image) -> str:
    """Channels are found in inputdataconfig.json, read-only, with many files in nested folders.

    How: a job whose channels are mounted read-only, in FastFile mode, described by nothing but
    their mode, their one table (where it is .tsv, .csv or .jsonl) cut into files in nested folders,
    64 if it has the rows; must train.
    Remedy: walk the channel's folder recursively, write nothing there, and treat every field of
    inputdataconfig.json but the channel's name as optional.
    AWS: How Amazon SageMaker AI provides training information, inputdataconfig.json
    """
    need_given_data(image)
    findings = Findings()
    folder = image.engine.folder("nested")
    cut = {
        name: folder / name
        for name, source in image.workload.channels.items()
        if scatter(source, folder / name, _PARTS)
    }
    tree = lay_out(image, channels={**image.workload.channels, **cut})
    mode = {"TrainingInputMode": "FastFile"}
    tree.write_config("inputdataconfig.json", dict.fromkeys(tree.channels, mode))
    ended = run(image, tree)
    what = "nested folders" if cut else "as given: nested folders not tried, no one table to cut"
    expect_success(findings, ended, f"FastFile, read-only, {what}")
    expect_same_rows(image, ended, findings)
    return findings.seen()


def expect_same_rows(image: Image, ended: Ended, findings: Findings) -> None:
    """Files in order of their names hold the same rows in the same order as the one table did.

    No clause asks for that order: another result is only noted.
    """
    found, first = (it.metrics(image.workload.metrics) for it in (ended, first_run(image)))
    if first:
        findings.note(f"{'the same' if found == first else 'other'} metrics as from one file")


@clause("T06")
def pipe_mode(image: Image) -> str:
    """Pipe mode is read from FIFOs, or refused with a clear failure.

    How: a job with its channels in Pipe mode and a FIFO CHANNEL_0 for each, which is fed; it must
    train and have opened one, or fail with an output/failure that names Pipe mode.
    Remedy: look at TrainingInputMode in inputdataconfig.json first, and say which modes the image
    reads.
    AWS: How Amazon SageMaker AI provides training information, Pipe mode
    """
    need_given_data(image)
    findings = Findings()
    tree = lay_out(image, channels={})
    mode = {"TrainingInputMode": "Pipe", "S3DistributionType": "FullyReplicated"}
    names = list(image.workload.channels)
    tree.write_config("inputdataconfig.json", dict.fromkeys(names, mode))
    over = threading.Event()
    feeders = [_feed(tree, image.workload.channels[name], name, over) for name in names]
    try:
        ended = run(image, tree, seconds=120)
    finally:
        over.set()
        for feeder in feeders:
            feeder.join()
    if ended.code != 0:
        expect_failure(findings, ended, "Pipe mode", ["pipe"])
        findings.expect(ended.seconds < 60, f"refused only after {ended.seconds:.0f} s")
    else:
        read = [feeder.name for feeder in feeders if feeder.was_read]
        findings.expect(bool(read), "exit 0, but no FIFO was opened", f"read {', '.join(read)}")
    return findings.seen()


class _Feeder(threading.Thread):
    """Writes a channel's files into CHANNEL_0, CHANNEL_1, …: one FIFO for each epoch."""

    def __init__(self, tree: Tree, source: Path, channel: str, over: threading.Event) -> None:
        super().__init__(name=channel, daemon=True)
        self._folder, self._source, self._over = tree.root / "input/data", source, over
        self.was_read = False
        make_fifo(self._folder / f"{channel}_0")

    def run(self) -> None:
        content = b"".join(path.read_bytes() for path in files(self._source))
        epoch = 0
        while not self._over.is_set():
            path = self._folder / f"{self.name}_{epoch}"
            try:
                # Without a reader this fails at once: a plain open would wait for good.
                handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.05)
                continue
            self.was_read = True
            epoch += 1
            make_fifo(self._folder / f"{self.name}_{epoch}")
            os.set_blocking(handle, True)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
            except BrokenPipeError:
                continue


def _feed(tree: Tree, source: Path, channel: str, over: threading.Event) -> _Feeder:
    feeder = _Feeder(tree, source, channel, over)
    feeder.start()
    return feeder
