"""`byoc check`: does an image keep SageMaker's container contract?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from byoc.commands.common import note, say
from byoc.conformance import parts as roles
from byoc.conformance.clauses import Clause, catalogue
from byoc.conformance.engine import Engine, EngineError
from byoc.conformance.given import Given, open_image, pairs, read_hyperparameters
from byoc.conformance.image import Image
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.page import to_html
from byoc.conformance.report import Report, row, to_json, to_junit
from byoc.conformance.runner import check as run
from byoc.conformance.runner import passed
from byoc.launch.errors import LaunchError

ORDER = "ITHMB"
"""Of the clauses' families, in the rows."""

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_ANY = click.Path(path_type=Path, exists=True)
_NEW = click.Path(path_type=Path, dir_okay=False)


def _ids(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> set[str]:
    """T12,H03 and the like, in any case; several options add up."""
    known = {it.id for it in catalogue()}
    found = {it.strip().upper() for text in values for it in text.split(",") if it.strip()}
    if unknown := sorted(found - known):
        raise click.BadParameter(f"no such clause: {', '.join(unknown)}; there are {_spans(known)}")
    return found


def _spans(known: set[str]) -> str:
    families = [sorted(it for it in known if it[0] == letter) for letter in ORDER]
    return ", ".join(f"{ids[0]}-{ids[-1]}" for ids in families)


def _pairs(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    try:
        return pairs(values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _channels(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, Path]:
    found = {name: Path(it).absolute() for name, it in _pairs(context, parameter, values).items()}
    for name, folder in found.items():
        if not folder.is_dir():
            raise click.BadParameter(f"channel {name}: there is no folder {folder}")
    return found


@click.command()
@click.argument("image")
@click.option("--training", "which", flag_value="training", help="Try the clauses of training.")
@click.option("--serving", "which", flag_value="serving", help="Try the clauses of hosting.")
@click.option(
    "--both", "which", flag_value="both", help="Both. Default: what the image looks like."
)
@click.option(
    "--channel",
    "channels",
    metavar="NAME=DIR",
    multiple=True,
    callback=_channels,
    help="Data to train on.",
)
@click.option("--hyperparameters", metavar="FILE", type=_FILE, help="A JSON object.")
@click.option("--model", metavar="FILE", type=_ANY, help="model.tar.gz or a folder, to serve.")
@click.option("--payload", metavar="FILE", type=_FILE, help="The body of a good request.")
@click.option("--content-type", metavar="TYPE", help="Of the payload. Default: application/json.")
@click.option(
    "--env",
    "environment",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pairs,
    help="A variable of all its containers.",
)
@click.option("--gpu", is_flag=True, help="Give all its containers the host's GPUs.")
@click.option("--only", metavar="T12,H03", multiple=True, callback=_ids, help="Try these clauses.")
@click.option("--skip", metavar="T12,H03", multiple=True, callback=_ids, help="Leave these out.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="At most so many containers at a time.",
)
@click.option("--json", "json_file", metavar="FILE", type=_NEW, help="Write the rows as JSON.")
@click.option("--junit", "junit_file", metavar="FILE", type=_NEW, help="Write them as JUnit's XML.")
@click.option("--html", "html_file", metavar="FILE", type=_NEW, help="Write them as one HTML file.")
def check(
    image: str,
    which: str | None,
    channels: dict[str, Path],
    hyperparameters: Path | None,
    model: Path | None,
    payload: Path | None,
    content_type: str | None,
    environment: dict[str, str],
    gpu: bool,
    only: set[str],
    skip: set[str],
    jobs: int,
    json_file: Path | None,
    junit_file: Path | None,
    html_file: Path | None,
) -> None:
    """Runs IMAGE as SageMaker would, and prints a row for each clause of its container contract.

    Nothing but the image is needed: what can be sent without data, model and payload is sent, and
    the rest is marked not tried. The exit code is 0 only if nothing failed.
    """
    if content_type and payload is None:
        raise click.UsageError("--content-type goes with --payload")
    if only and not only - skip:
        raise click.UsageError("no clause is left to try: --skip names all that --only does")
    files = {json_file: to_json, junit_file: to_junit, html_file: to_html}
    for file in filter(None, files):
        _need_place(file)
    try:
        given = Given(
            channels,
            read_hyperparameters(hyperparameters) if hyperparameters else {},
            model,
            payload.read_bytes() if payload else None,
            content_type or "",
            environment,
        )
        with Engine(jobs, gpu=gpu) as engine:
            report = _check(open_image(engine, image, given), which, only, skip)
    except EngineError as error:
        raise LaunchError(str(error)) from error
    say("")
    for outcome in report.outcomes:
        say(row(outcome))
    say(f"\n{report.summary()}")
    for path, form in files.items():
        if path is not None:
            path.write_text(form(report), encoding="utf-8")
            note(f"written: {path}")
    if not passed(report.outcomes):
        raise click.exceptions.Exit(1)


def _check(image: Image, which: str | None, only: set[str], skip: set[str]) -> Report:
    tried = _parts(image, which)
    wanted = _chosen(tried, only, skip)
    if not wanted:
        raise LaunchError("no clause is left to try: --skip names all there are")
    started, begin = datetime.now().astimezone(), time.monotonic()
    outcomes = run(image, wanted, _tell)
    seconds = time.monotonic() - begin
    return Report(image.given_name, image.name, outcomes, started, seconds, tried)


def _parts(image: Image, which: str | None) -> dict[str, str]:
    """By part to be tried, why."""
    if which is not None:
        return {it: "asked for" for it in roles.PARTS if which in (it, "both")}
    found = roles.find(image)
    if not found:
        note("nothing tells what this image is for: both parts are tried")
        return dict.fromkeys(roles.PARTS, "nothing tells what it is for")
    for part in roles.PARTS:
        note(f"{part}: {found.get(part) or f'nothing tells of it; --{part} tries it all the same'}")
    return found


def _chosen(tried: dict[str, str], only: set[str], skip: set[str]) -> list[Clause]:
    # --only names clauses: they are tried whatever the image looks like.
    known = catalogue() if only else catalogue("image", *tried)
    found = [it for it in known if it.id not in skip and (not only or it.id in only)]
    return sorted(found, key=lambda it: (ORDER.index(it.id[0]), it.id))


def _tell(outcome: Outcome) -> None:
    cause = f": {outcome.cause}" if outcome.verdict is Verdict.FAIL else ""
    note(f"{outcome.id} {outcome.verdict} {outcome.seconds:.1f} s{cause}")


def _need_place(file: Path) -> None:
    """Minutes of work are not lost for want of a folder."""
    if not file.absolute().parent.is_dir():
        raise click.UsageError(f"there is no folder {file.absolute().parent} for {file.name}")
