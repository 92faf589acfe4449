"""`byoc predict`: asks an endpoint, or any URL that answers as one."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from byoc.commands.common import show, where_option
from byoc.launch import asking, endpoints, runtime
from byoc.launch.clients import make_runtime
from byoc.launch.endpoints import Prediction
from byoc.launch.errors import LaunchError


@click.command()
@where_option
@click.option("--url", help="For example http://127.0.0.1:8080 (/invocations is added).")
@click.option("--endpoint", help="An endpoint's name.")
@click.option("--target-model", help="Which one of a multi-model endpoint: its archive's name.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Texts: .txt or .jsonl by the line, .csv or .tsv by its column text or sentence.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Requests."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
    help="Of the answers; json: one object a line.",
)
@click.argument("texts", nargs=-1)
def predict(
    where: str,
    url: str | None,
    endpoint: str | None,
    target_model: str | None,
    file: Path | None,
    concurrency: int,
    form: str,
    texts: tuple[str, ...],
) -> None:
    """Classifies TEXTS and prints a table; a lone - reads one text a line from stdin."""
    if bool(texts) == (file is not None):
        raise click.UsageError("give either TEXTS or --file")
    if (url is None) == (endpoint is None):
        raise LaunchError("give one of --url and --endpoint")
    send = _to_url(url) if url else _to_endpoint(where, str(endpoint), target_model)
    _FORMS[form](asking.ask(send, _wanted(texts, file), concurrency))


def _wanted(texts: tuple[str, ...], file: Path | None) -> list[str]:
    if file is not None:
        return asking.read_texts(file)
    if texts != ("-",):
        return list(texts)
    found = [line.strip() for line in sys.stdin if line.strip()]
    if not found:
        raise LaunchError("there is no text on stdin")
    return found


Send = Callable[[Sequence[str]], list[Prediction]]


def _to_endpoint(where: str, name: str, target_model: str | None) -> Send:
    client = make_runtime(where)
    return lambda texts: endpoints.predict(client, name, texts, target_model)


def _to_url(url: str) -> Send:
    target = url.rstrip("/")
    if not target.endswith("/invocations"):
        target += "/invocations"

    def send(texts: Sequence[str]) -> list[Prediction]:
        request = {
            "Body": json.dumps({"inputs": list(texts)}),
            "ContentType": "application/json",
            "Accept": "application/json",
        }
        return endpoints.read_predictions(runtime.post(target, request)["Body"].read(), texts)

    return send


def _show_csv(found: Sequence[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("text", "label", "score"))
    writer.writerows((it.text, it.label, it.score) for it in found)


def _show_json(found: Sequence[Prediction]) -> None:
    for it in found:
        entry = {"text": it.text, "label": it.label, "score": it.score}
        click.echo(json.dumps(entry, ensure_ascii=False))


_FORMS: dict[str, Callable[[Sequence[Prediction]], None]] = {
    "table": show,
    "csv": _show_csv,
    "json": _show_json,
}
