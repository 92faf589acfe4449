"""What a job leaves, and how it says that it failed: T09 to T11 and T15."""

from __future__ import annotations

import re
from pathlib import Path

from docker.types import Mount

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, Setting, first_run, lay_out, run
from byoc.conformance.outcome import Findings, NotTried
from byoc.conformance.training.judging import (
    expect_failure,
    expect_success,
    need_data,
    need_own_training,
    trains,
)
from byoc.conformance.training.scripts import script_tree
from byoc.conformance.training.stopped import whole_run
from byoc.conformance.tree import files, odd_members

_PAGE = 4096

MOST_METRICS, LONGEST_REGEX = 40, 500


@clause("T09")
def artifacts(image: Image) -> str:
    """The model lands in model/, other results in output/data/; both survive tar.gz.

    How: the folders that a finished job left are looked through for links, sockets and the like.
    Remedy: copy files instead of linking them, and close sockets before the end.
    AWS: How Amazon SageMaker AI processes training output
    """
    need_data(image)
    need_own_training(image)
    findings = Findings()
    first = first_run(image)
    expect_success(findings, first, "train")
    model, data = files(first.tree.model), files(first.tree.data)
    findings.expect(bool(model), "model/ is empty", f"{len(model)} files in model/")
    findings.note(f"{len(data)} files in output/data/")
    empty = [path.name for path in model if path.stat().st_size == 0]
    findings.expect(not empty, f"empty in model/: {', '.join(empty)}")
    odd = odd_members(first.tree.model) + odd_members(first.tree.data)
    findings.expect(not odd, f"not plain files: {', '.join(odd)}", "plain files only")
    return findings.seen()


@clause("T10")
def success_and_failure(image: Image) -> str:
    """Success exits 0; failure exits non-zero, and output/failure begins with the cause.

    How: a job that should succeed; jobs without any channel and, in script mode, with scripts that
    raise and that call sys.exit(3).
    Remedy: catch everything in the outermost function, write one line to /opt/ml/output/failure,
    then the traceback, and exit non-zero; sagemaker-training's own program exits 0 on SystemExit.
    AWS: How Amazon SageMaker AI signals algorithm success and failure
    """
    findings = Findings()
    if trains(image):
        first = first_run(image)
        expect_success(findings, first, "train")
        findings.expect(first.failure is None, "success left an output/failure")
    missing = _without_channels(image)
    if missing.code == 0 and image.workload.is_a_guess:
        findings.seen()  # what is wrong already is a fail
        raise NotTried("it succeeds without any data: what would make it fail is not known")
    expect_failure(findings, missing, "no channel")
    if image.workload.has_script_mode:
        for program, what, words in (
            (
                "raise ValueError('a cause of my own')\n",
                "a script that raises",
                ["cause of my own"],
            ),
            ("import sys\nsys.exit(3)\n", "a script that calls sys.exit(3)", []),
        ):
            expect_failure(findings, run(image, script_tree(image, program)), what, words)
    return findings.seen()


def _without_channels(image: Image) -> Ended:
    return image.once("no channels", lambda: run(image, lay_out(image, channels={})))


@clause("T11")
def no_false_success(image: Image) -> str:
    """A full disk, an unwritable model/ or a missing channel is a failure, never a success.

    How: jobs with one channel taken away, with an empty one, with a read-only model/, and with
    file systems of a few kB as model/, output/data/ and checkpoints/ (these where a plain job
    writes more into them).
    Remedy: check that model/ can be written before training, and let errors of the last save end
    the program.
    AWS: How Amazon SageMaker AI signals algorithm success and failure
    """
    need_data(image)
    need_own_training(image)
    findings = Findings()
    if image.workload.is_a_guess:
        findings.note("channels not tried: it trains on an empty one")
    else:
        _without_data(image, findings)
    tree = lay_out(image)
    mount = Mount("/opt/ml/model", str(tree.model), type="bind", read_only=True)
    expect_failure(findings, run(image, tree, Setting(mounts=[mount])), "model/ read-only")
    _full_disks(image, findings)
    return findings.seen()


def _without_data(image: Image, findings: Findings) -> None:
    channels = image.workload.channels
    first = next(iter(channels))
    rest = {name: folder for name, folder in channels.items() if name != first}
    ended = run(image, lay_out(image, channels=rest))
    expect_failure(findings, ended, f"channel {first} missing", [first])
    empty = {**channels, first: image.engine.folder("empty")}
    expect_failure(findings, run(image, lay_out(image, channels=empty)), f"channel {first} empty")


def _full_disks(image: Image, findings: Findings) -> None:
    """Each folder on its own file system that holds half of what a plain job wrote there."""
    first = first_run(image)
    trials: list[tuple[str, Path, bool]] = [
        ("model", first.tree.model, False),
        ("output/data", first.tree.data, False),
    ]
    if image.workload.longer:
        trials.append(("checkpoints", whole_run(image).tree.checkpoints, True))
    for name, written, longer in trials:
        size = sum(path.stat().st_size for path in files(written))
        if size <= _PAGE:
            findings.note(f"{name}/ full: not tried, a plain job writes {size} bytes there")
            continue
        ended = run(image, lay_out(image, longer=longer), full_disk(name, size // 2))
        expect_failure(findings, ended, f"{name}/ full")


def full_disk(name: str, size: int) -> Setting:
    """A file system of ``size`` bytes, in whole pages, in place of a folder of /opt/ml."""
    pages = max(1, size // _PAGE)
    return Setting(mounts=[Mount(f"/opt/ml/{name}", None, type="tmpfs", tmpfs_size=pages * _PAGE)])


@clause("T15")
def metrics(image: Image) -> str:
    """Metrics appear on stdout, each found by its regular expression.

    How: the expressions (at most 40, each at most 500 characters) are held against a finished
    job's stdout; all values must be finite numbers.
    Remedy: print one line `name=value …` an epoch, flushed, and name the same expressions in
    MetricDefinitions.
    AWS: Define metrics and environment variables; AlgorithmSpecification
    """
    definitions = image.workload.metrics
    if not definitions:
        raise NotTried("it is not known which metrics this image prints")
    need_data(image)
    findings = Findings()
    first = first_run(image)
    expect_success(findings, first, "train")
    found = first.metrics(definitions)
    findings.expect(len(definitions) <= MOST_METRICS, f"{len(definitions)} metrics")
    for name, regex in definitions.items():
        findings.expect(len(regex) <= LONGEST_REGEX, f"{name}: {len(regex)} characters")
        value = found.get(name)
        findings.expect(value is not None, f"{name}: not on stdout", f"{name}={value}")
        if value is not None:
            findings.expect(bool(re.search(r"\d", value)), f"{name}={value} is no number")
    return findings.seen()
