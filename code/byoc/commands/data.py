"""`byoc data`: data sets and pretrained models, before a job sees them."""

from __future__ import annotations

from pathlib import Path

import click

from byoc.commands.common import say
from byoc.commands.data_explore import explore
from byoc.commands.data_prepare import prepare
from byoc.commands.data_upload import model, upload
from byoc.corpus import DEFAULT_SIZE, write_corpus
from byoc.launch.errors import LaunchError


@click.group()
def data() -> None:
    """Prepares data sets, looks into them, and sends them and models to S3."""


@data.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--size", type=click.IntRange(40), default=DEFAULT_SIZE, show_default=True)
def embedded(directory: Path, seed: int, size: int) -> None:
    """Writes the embedded acceptability corpus to DIRECTORY/train and DIRECTORY/validation."""
    try:
        write_corpus(directory, seed=seed, size=size)
    except (OSError, ValueError) as error:
        raise LaunchError(f"cannot write the corpus to {directory}: {error}") from error
    say(f"wrote {directory / 'train'} and {directory / 'validation'}")


for command in (prepare, explore, upload, model):
    data.add_command(command)
