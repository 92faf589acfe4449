"""`byoc data upload` and `byoc data model`: data and models on S3."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoc.commands.common import note, say
from byoc.commands.progress import progress
from byoc.html.text import size
from byoc.launch.errors import LaunchError

if TYPE_CHECKING:
    from byoc.data.upload.run import Uploaded

_bytes = partial(progress, in_bytes=True)

kms_option = click.option("--kms-key", help="Encrypt with this KMS key: its id or ARN.")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("uri")
@kms_option
def upload(data: Path, uri: str, kms_key: str | None) -> None:
    """Sends DATA to URI/DIGEST/, s3://BUCKET/PREFIX named by its content, and prints the channels.

    DATA: a prepared data set, a folder of tables, or a table. Run again after any failure, it goes
    on where it was; the same data are never sent twice.
    """
    from byoc.data.upload.run import upload_data

    _show(upload_data(data, uri, kms_key, _bytes))


@click.command()
@click.argument("model_", metavar="MODEL")
@click.argument("uri", required=False)
@click.option("--revision", help="A commit, branch or tag of the Hub's repository.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write the files to this folder instead."
)
@kms_option
def model(
    model_: str, uri: str | None, revision: str | None, output: Path | None, kms_key: str | None
) -> None:
    """Sends MODEL, a folder or a Hub name, to URI/DIGEST/model/, for jobs without a network.

    Only its .safetensors, .json and .txt files; a model whose weights are pickles is refused.
    """
    from byoc.data import models
    from byoc.data.upload.run import upload_files

    if (uri is None) == (output is None):
        raise LaunchError("give one of an s3:// URI and --output DIR: where the model goes")
    if output is not None:
        files = models.prepare(model_, output, revision)
        say(f"wrote {len(files)} files to {output}")
        say(f"train with: byoc train --model {output}")
        return
    assert uri is not None
    with tempfile.TemporaryDirectory(prefix="byoc-model-") as name:
        files = models.prepare(model_, Path(name) / "model", revision)
        _show(upload_files(files, uri, kms_key, _bytes))


def _show(done: Uploaded) -> None:
    if done.sent.was_there:
        note(f"{done.sent.uri} has all of it: nothing was sent")
    else:
        note(f"sent {size(done.sent.sent)} to {done.sent.uri}")
    for name, channel in done.channels.items():
        say(f"{name} {channel}")
