"""`byoc demo`: data, training, serving and predictions in one go."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import click

from byoc import archive
from byoc.commands.common import (
    SERVING_IMAGE,
    TRAINING_IMAGE,
    note,
    parse_hyperparameters,
    say,
    show,
    show_metrics,
    unique_name,
)
from byoc.launch import agreement, endpoints, jobs, requests
from byoc.launch import data as launch_data
from byoc.launch.clients import Client, make_client, make_runtime
from byoc.launch.uris import to_path, to_uri

EMBEDDED_SENTENCES = (
    "The keys near the old cabinet are heavy.",
    "The keys near the old cabinet is heavy.",
    "What will the farmer carry after lunch?",
    "What the farmer will carry after lunch?",
    "The tailor carefully fixed the lamps.",
    "The tailor fixed carefully the lamps.",
    "The pilot told the nurse that the singer vanished.",
    "The pilot said the nurse that the singer vanished.",
)
"""Our own, in the words of the embedded corpus: each good one with a bad twin."""

REAL_SENTENCES = (
    "My sister plays the violin on Fridays.",
    "My sister play the violin on Fridays.",
    "Nobody knew where the cat had hidden.",
    "Nobody knew where had the cat hidden.",
    "She gave the book to her brother yesterday.",
    "She gave yesterday to the book her brother.",
)

# Both programs choose faster kernels by themselves, each its own. In fp32 a label that the
# endpoint gives otherwise than training did is a fault, and no rounding.
TRAINED_IN = {"precision": "32"}
SERVED_IN = {"BYOC_PRECISION": "fp32"}


@click.command()
@click.option(
    "--where",
    type=click.Choice(["auto", "process", "local"]),
    default="auto",
    show_default=True,
    help="auto: containers where a Docker engine answers, else child processes.",
)
@click.option("--data", metavar="DATA", help="A folder, a file or `cola`; default: embedded.")
@click.option("--model", metavar="MODEL", help="A folder or a Hub name: the pretrained encoder.")
@click.option("-H", "pairs", metavar="NAME=VALUE", multiple=True, help="A hyperparameter.")
@click.option("--training-image", default=TRAINING_IMAGE, show_default=True)
@click.option("--serving-image", default=SERVING_IMAGE, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="A folder for data, model, metrics and logs.",
)
def demo(
    where: str,
    data: str | None,
    model: str | None,
    pairs: tuple[str, ...],
    training_image: str,
    serving_image: str,
    output: Path,
) -> None:
    """Trains, serves and predicts through SageMaker's contract, on this machine."""
    start = time.monotonic()
    where = _place(where)
    given = parse_hyperparameters(pairs, None)
    scratch = given.get("model-name-or-path") == launch_data.SCRATCH
    note(f"1/4 data: {data or 'the embedded corpus'}")
    prepared = launch_data.prepare(data or None, model or None, output / "data", scratch=scratch)
    client = make_client(where, note)
    name = unique_name("byoc-demo")
    job = requests.TrainingJob(
        name=name,
        image=training_image,
        channels={channel: to_uri(path) for channel, path in prepared.channels.items()},
        output=to_uri(output),
        hyperparameters={**TRAINED_IN, **prepared.hyperparameters, **given},
    )
    note("2/4 training")
    ended = jobs.run(client, requests.training_job(job), say)
    artifact = ended["ModelArtifacts"]["S3ModelArtifacts"]
    results = _results(artifact)
    note("3/4 serving")
    endpoint = requests.Endpoint(
        name=name, image=serving_image, model_data=artifact, environment=SERVED_IN
    )
    with endpoints.serving(client, endpoint):
        note("4/4 predictions")
        sentences = REAL_SENTENCES if data else EMBEDDED_SENTENCES
        runtime = make_runtime(where)
        show(endpoints.predict(runtime, name, sentences))
        found = agreement.measure(runtime, name, results / "validation_predictions.csv")
    say(
        f"served:  {found.same} of {found.rows} validation texts labelled as in training, "
        f"mcc={found.mcc:.4g}"
    )
    _report(client, name, artifact, results, time.monotonic() - start)


def _place(where: str) -> str:
    if where != "auto":
        return where
    from byoc.launch.local import engine_fault

    cause = engine_fault()
    if cause is None:
        note("a Docker engine answers: running in containers (--where local)")
        return "local"
    note(f"no Docker engine ({cause}): running as child processes (--where process)")
    return "process"


def _results(artifact: str) -> Path:
    """The folder that output.tar.gz's data/ is unpacked into."""
    folder = to_path(artifact, "the model").parent
    results = folder / "output"
    shutil.rmtree(results, ignore_errors=True)
    archive.unpack(folder / "output.tar.gz", results)
    return results / "data"


def _report(client: Client, name: str, artifact: str, results: Path, seconds: float) -> None:
    """Says where everything lies, after putting the log there too."""
    folder = to_path(artifact, "the model").parent
    metrics = results / "metrics.json"
    log_file: Any = getattr(client, "log_file", None)
    if log_file is not None:
        shutil.copyfile(log_file("training-jobs", name), folder / "log")
    say(f"model:   {folder / 'model.tar.gz'}")
    say(f"metrics: {metrics}  {show_metrics(json.loads(metrics.read_text(encoding='utf-8')))}")
    say(f"log:     {folder / 'log'}")
    note(f"done in {seconds:.0f} s")
