"""`byoc debug …`: reports of training jobs, from what they left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from byoc.commands.common import note, say
from byoc.launch.errors import LaunchError

if TYPE_CHECKING:
    from byoc.debugger.findings import RuleResult
    from byoc.debugger.report.tensors import Tensors
    from byoc.debugger.run import Run

OUTPUT = "out/debug"

set_option = click.option(
    "--set",
    "parameter_set",
    type=click.Choice(("aws", "recommended")),
    default="recommended",
    show_default=True,
    help="The rules' parameters: AWS's defaults, or ours, which fire on fewer healthy jobs.",
)
output_option = click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where the report goes. Default: {OUTPUT}/NAME.",
)


@click.group()
def debug() -> None:
    """What rules and profiles say of a training job, from its output."""


@debug.command()
@click.argument("source", metavar="DIR|s3://URI")
@output_option
@set_option
def report(source: str, output: Path | None, parameter_set: str) -> None:
    """Writes report.html and report.json of one job.

    DIR is what a job left: its output folder, output.tar.gz's folder, or what SageMaker Debugger
    wrote (debug-output/, profiler-output/).
    """
    folder = output or Path(OUTPUT) / name_of(source)
    with opened(source) as run:
        results, tensors = evaluated(run, parameter_set)
        from byoc.debugger.layout import REPORT_HTML, REPORT_JSON
        from byoc.debugger.report.files import write_report
        from byoc.debugger.report.html.overview import fired_rules

        content = write_report(run, results, folder, tensors)
    for rule in fired_rules(content):
        say(f"{rule['rule']}: {rule['findings'][0]['what'] if rule['findings'] else ''}")
    counts = content["rules"]["counts"]
    note(
        f"{counts['fired']} rules fired, {counts['quiet']} quiet, "
        f"{counts['not evaluated']} not evaluated"
    )
    say(str(folder / REPORT_HTML))
    say(str(folder / REPORT_JSON))


@debug.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@output_option
@set_option
def compare(first: str, second: str, output: Path | None, parameter_set: str) -> None:
    """Writes compare.html: two jobs side by side. A and B are as for report."""
    reports = []
    for source in (first, second):
        with opened(source) as run:
            found = evaluated(run, parameter_set)
            from byoc.debugger.report.build import build

            reports.append(build(run, *found))
    from byoc.debugger.report.files import write_whole
    from byoc.debugger.report.html.compare import render_pair

    folder = output or Path(OUTPUT) / f"{name_of(first)}-{name_of(second)}"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "compare.html", render_pair(reports[0], reports[1]))
    say(str(folder / "compare.html"))


@contextmanager
def opened(source: str) -> Iterator[Run]:
    """The run of a folder or of an s3:// URI; raises ``LaunchError`` where there is none."""
    from byoc.debugger.places import RunError
    from byoc.debugger.run import read

    with tempfile.TemporaryDirectory(prefix="byoc-debug-", ignore_cleanup_errors=True) as folder:
        place = Path(source)
        if source.startswith("s3://"):
            from byoc.launch.job_output import download

            place = Path(folder) / name_of(source)
            note(f"{download(source, place)} files from {source}")
        try:
            run = read(place)
        except RunError as error:
            raise LaunchError(str(error)) from error
        if not (run.tensors or run.system or run.phases or run.history):
            raise LaunchError(
                f"{source} holds nothing of a debugged job: no tensors, no system metrics, no "
                "metrics.jsonl; train with the hyperparameter debug=true, or give another folder"
            )
        yield run


def evaluated(run: Run, parameter_set: str) -> tuple[list[RuleResult], Tensors]:
    """What the rules say, and what the report wants of the tensors: read once."""
    from byoc.debugger import library

    try:
        library.load()
    except library.LibraryError as error:
        raise LaunchError(f"the rules cannot run: {error}") from error
    from byoc.debugger.engine import evaluate
    from byoc.debugger.report.tensors import tensors_of

    tensors = tensors_of(run)
    chosen: Any = parameter_set
    return evaluate(run, parameter_set=chosen, watch=tensors.take), tensors


def name_of(source: str) -> str:
    """The last part of a path or URI."""
    parts = [part for part in source.split("/") if part not in ("", ".", "..")]
    return parts[-1] if parts and not source.endswith("..") else Path(source).resolve().name
