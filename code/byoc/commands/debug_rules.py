"""`byoc debug rules`: what the rules say of a training job, as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from byoc.commands.common import note
from byoc.commands.debug import opened, set_option
from byoc.launch.errors import LaunchError

if TYPE_CHECKING:
    from byoc.debugger.findings import RuleResult

FIRED = 3
"""Exit code where a rule has fired: neither done in peace (0) nor failed (1) nor misused (2)."""


@click.command()
@click.argument("source", metavar="DIR|s3://URI")
@set_option
@click.option(
    "--rule",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this rule, by AWS's name or as file.py:Class; may be given several times.",
)
@click.option(
    "--parameter",
    "pairs",
    metavar="RULE.NAME=VALUE",
    multiple=True,
    help="A rule's parameter; may be given several times.",
)
def rules(source: str, parameter_set: str, names: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    """Runs the rules over one job; prints what each says.

    DIR is what a job left: its output folder, output.tar.gz's folder, or what SageMaker Debugger
    wrote (debug-output/, profiler-output/).

    Exit code: 0 no rule fired, 3 some did, 1 failed, 2 wrong usage.
    """
    parameters = parse_parameters(pairs)
    with opened(source) as run:
        results = _evaluated(run, names, parameter_set, parameters)
    print_table(results)
    fired = sum(result.status == "fired" for result in results)
    note(f"{fired} of {len(results)} rules fired")
    if fired:
        click.get_current_context().exit(FIRED)


def parse_parameters(pairs: Sequence[str]) -> dict[str, dict[str, str]]:
    """By rule and name; raises ``LaunchError`` for what is not RULE.NAME=VALUE."""
    found: dict[str, dict[str, str]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        rule, dot, name = key.partition(".")
        if not (equals and dot and rule and name):
            raise LaunchError(f"--parameter {pair}: write RULE.NAME=VALUE")
        found.setdefault(rule, {})[name] = value
    return found


def _evaluated(
    run: Any,
    names: Sequence[str],
    parameter_set: str,
    parameters: Mapping[str, Mapping[str, Any]],
) -> list[RuleResult]:
    from byoc.debugger import library

    try:
        library.load()
    except library.LibraryError as error:
        raise LaunchError(f"the rules cannot run: {error}") from error
    from byoc.debugger.engine import evaluate
    from byoc.debugger.own_rules import RuleError
    from byoc.debugger.rules.parameters import ParameterError

    chosen: Any = parameter_set
    try:
        return evaluate(run, names or None, chosen, parameters)
    except (RuleError, ParameterError) as error:
        raise LaunchError(str(error)) from error


def print_table(results: Sequence[RuleResult]) -> None:
    """What fired first, then what was quiet, then what was not evaluated."""
    table = Table(box=None, pad_edge=False)
    for title in ("rule", "", "first at", "what"):
        table.add_column(title, overflow="fold", no_wrap=title == "rule")
    order = {"fired": 0, "quiet": 1, "not evaluated": 2}
    for result in sorted(results, key=lambda result: order[result.status]):
        first = result.findings[0] if result.findings else None
        times = f"fired {result.fired}x" if result.fired else result.status
        where = f"{first.mode} {first.step}" if first and first.step is not None else ""
        table.add_row(result.rule, times, where, escape(first.what if first else result.reason))
    # A row a line where a program reads it.
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)
