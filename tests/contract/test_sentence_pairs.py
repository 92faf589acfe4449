"""Sentence pairs from training into serving: both images, three labels that are strings.

Which of two numbers is larger: neither text alone tells, and exchanged they have the other answer.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, run
from byoc.conformance.serving.server import Server, mounted, serving
from byoc.conformance.tree import Tree

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PEOPLE = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal")
THINGS = ("cats", "dogs", "books", "hats", "pens", "cups")
TURNED = {"more": "fewer", "fewer": "more", "as many": "as many"}
HYPERPARAMETERS = {
    "model-name-or-path": "scratch",
    "text-column": "first",
    "text-pair-column": "second",
    "label-column": "answer",
    "epochs": "4",
    "lr": "1e-3",
    "batch-size": "64",
    "max-length": "32",
    "monitor": "val_loss",
}
LINES = "application/jsonlines"

Row = tuple[str, str, str]


def rows(seed: int, size: int) -> list[Row]:
    """First text, second text, what the second one has compared with the first."""
    random = Random(seed)
    found: list[Row] = []
    while len(found) < size:
        mine, other = random.randrange(len(NUMBERS)), random.randrange(len(NUMBERS))
        answer = "as many" if mine == other else "more" if other > mine else "fewer"
        if answer != tuple(TURNED)[len(found) % 3]:
            continue  # as many of each label
        person, friend = random.choice(PEOPLE), random.choice(PEOPLE)
        thing = random.choice(THINGS)
        found.append(
            (f"{person} has {NUMBERS[mine]} {thing}", f"{friend} has {NUMBERS[other]}", answer)
        )
    return found


def write(folder: Path, found: list[Row]) -> Path:
    with (folder / "rows.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("first", "second", "answer"), *found])
    return folder


@pytest.fixture(scope="module")
def trained(training: Image) -> Ended:
    tree = Tree(training.engine.folder("pairs"))
    tree.write_config("hyperparameters.json", HYPERPARAMETERS)
    tree.write_hosts("algo-1", ["algo-1"])
    sizes = {"train": (1, 1500), "validation": (2, 300)}
    folders = {name: training.engine.folder(name) for name in sizes}
    tree.add_channels({name: write(folders[name], rows(*sizes[name])) for name in sizes})
    ended = run(training, tree, seconds=900)
    assert ended.code == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def server(trained: Ended, serving_image: Image) -> Iterator[Server]:
    with serving(serving_image, mounted(trained.tree.model)) as found:
        found.wait_ready(300)
        yield found


@pytest.fixture(scope="module")
def serving_image(serving: Image) -> Image:
    return serving


def labels(server: Server, message: Message) -> list[str]:
    reply = server.invoke(message)
    assert reply.status == 200, reply.body
    lines = reply.body.decode().splitlines() if message.content_type == LINES else []
    return [it["label"] for it in map(json.loads, lines)] or [it["label"] for it in reply.json()]


def test_training_says_what_it_has_learned(trained: Ended) -> None:
    metrics = json.loads((trained.tree.data / "metrics.json").read_text())
    assert metrics["val_accuracy"] > 0.98
    config = json.loads((trained.tree.model / "config.json").read_text())
    assert set(config["label2id"]) == set(TURNED)
    with (trained.tree.data / "validation_predictions.csv").open(newline="") as stream:
        found = [(row["text"], row["text_pair"], row["label"]) for row in csv.DictReader(stream)]
    assert found == rows(2, 300)


def test_the_artifact_gives_each_pair_its_label_in_every_form(server: Server) -> None:
    pairs = rows(3, 60)
    expected = [answer for _, _, answer in pairs]
    records = [{"text": first, "text_pair": second} for first, second, _ in pairs]
    table = io.StringIO()
    csv.writer(table).writerows((first, second) for first, second, _ in pairs)
    messages = [
        Message(json.dumps({"inputs": records}).encode()),
        Message("".join(f"{json.dumps(it)}\n" for it in records).encode(), LINES),
        Message(table.getvalue().encode(), "text/csv", "application/json"),
    ]
    for message in messages:
        found = labels(server, message)
        right = sum(map(str.__eq__, found, expected))
        assert right >= 58, (message.content_type, list(zip(pairs, found, strict=True)))


def test_numbers_exchanged_have_the_other_label(server: Server) -> None:
    """The same words in the request, in another order: it is told which text is which."""
    for mine, other, answer in ((0, 4, "more"), (4, 0, "fewer")):
        records = [
            {
                "text": f"Ann has {NUMBERS[mine + n]} cats",
                "text_pair": f"Ben has {NUMBERS[other + n]}",
            }
            for n in range(5)
        ]
        assert labels(server, Message(json.dumps({"inputs": records}).encode())) == [answer] * 5


def test_a_single_text_is_refused(server: Server) -> None:
    reply = server.invoke(Message(b'{"inputs": "Ann has two cats"}'))
    assert reply.status == 400
    assert "this model takes pairs: text and text_pair" in reply.json()["error"]
