"""`byoc …`: trains, serves and predicts from your machine.

Exit codes: 0 done; 1 failed, with one line on stderr; 2 wrong usage; 3 a rule has fired
(`byoc debug rules`); 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from byoc import __version__
from byoc.archive import ArchiveError
from byoc.commands.check import check
from byoc.commands.cost import cost
from byoc.commands.data import data
from byoc.commands.debug import debug
from byoc.commands.debug_rules import rules
from byoc.commands.demo import demo
from byoc.commands.deploy import deploy
from byoc.commands.endpoints import down, endpoints
from byoc.commands.jobs import jobs
from byoc.commands.predict import predict
from byoc.commands.serve import serve
from byoc.commands.train import train
from byoc.commands.transform import transform_
from byoc.commands.tune import tune
from byoc.commands.tune_later import attach, show, stop
from byoc.launch.aws_faults import line
from byoc.launch.errors import LaunchError


@click.group()
@click.version_option(__version__, prog_name="byoc")
def cli() -> None:
    """Bring your own container to Amazon SageMaker: text classification."""


debug.add_command(rules)
for command in (show, attach, stop):
    tune.add_command(command)
for command in (
    *(train, jobs, tune, deploy, endpoints, serve, predict, transform_, down),
    *(cost, data, demo, debug, check),
):
    cli.add_command(command)


def main() -> None:
    """Runs the command line and exits; SIGTERM stops jobs and cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Runs one command line; every failure is one line on stderr and an exit code."""
    try:
        code = cli.main(arguments, prog_name="byoc", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("byoc: interrupted", err=True)
        return 130
    except (LaunchError, ArchiveError, OSError) as error:
        click.echo(f"byoc: {' '.join(str(error).split())}", err=True)
        return 1
    except Exception as error:
        if not _is_from_aws(error):
            raise
        click.echo(f"byoc: {line(error)}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _is_from_aws(error: Exception) -> bool:
    """botocore's errors, without importing it where nobody has."""
    return any(kind.__module__.startswith("botocore.") for kind in type(error).__mro__)
