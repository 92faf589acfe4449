"""What an image is tried with: ours with what we know of it, a stranger's with what is given."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from byoc.conformance import hosting
from byoc.conformance.contents import files_of
from byoc.conformance.engine import Engine, EngineError
from byoc.conformance.hosting import Hosting, Message
from byoc.conformance.image import Image
from byoc.conformance.workload import Workload, embedded

_OURS = {"byoc-training", "byoc-serving"}
_GUESSED_CHANNEL = "training"
_ODD = "application/x-byoc-check"
"""A media type that nobody takes or gives."""
_LINES = {"text/csv", "application/jsonlines", "application/x-jsonlines"}
_TRAINING_TOOLKIT = re.compile(r"(^|/)sagemaker_training/entry_point\.py$")
_INFERENCE_TOOLKIT = re.compile(r"(^|/)sagemaker_inference/transformer\.py$")


@dataclass(frozen=True)
class Given:
    """What the user said on the command line; nothing of it is needed."""

    channels: Mapping[str, Path] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    model: Path | None = None
    """A model.tar.gz, or a folder."""
    payload: bytes | None = None
    content_type: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def open_image(engine: Engine, name: str, given: Given | Workload | None = None) -> Image:
    """An image of the engine's, with what it is tried with.

    Raises ``EngineError`` where the engine has no such image, or the given model is no archive.
    """
    attributes = engine.inspect(name)
    # By id: a tag may move to another build while the check runs.
    image = Image(attributes["Id"], engine, Workload(), attributes, name)
    if isinstance(given, Workload):
        return dataclasses.replace(image, workload=given)
    return _equip(image, given or Given())


def _equip(image: Image, given: Given) -> Image:
    title = image.labels.get("org.opencontainers.image.title")
    workload = _training(image, given)
    if title == "byoc-training":
        ours = embedded(image.engine.folder("corpus"))
        workload = dataclasses.replace(
            ours,
            channels=given.channels or ours.channels,
            hyperparameters={**ours.hyperparameters, **given.hyperparameters},
        )
    served = hosting.ours() if title == "byoc-serving" else _hosting(image)
    workload = dataclasses.replace(
        workload, hosting=_with(image, served, given), environment=dict(given.environment)
    )
    return dataclasses.replace(image, workload=workload)


def _training(image: Image, given: Given) -> Workload:
    has_toolkit = any(_TRAINING_TOOLKIT.search(path) for path in files_of(image))
    if given.channels:
        return Workload(channels=given.channels, hyperparameters=given.hyperparameters)
    if has_toolkit:
        return _scripted(image, given)
    return Workload(
        channels={_GUESSED_CHANNEL: image.engine.folder("empty")},
        hyperparameters=given.hyperparameters,
        is_a_guess=True,
    )


_SCRIPT = """
import argparse, json, signal, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=float, default=1)
seconds = parser.parse_known_args()[0].seconds
for step in range(1, 11):
    time.sleep(seconds / 10)
    print(f"step={step} loss={1 / step:.4f};", flush=True)
with open("/opt/ml/model/model.json", "w") as stream:
    json.dump({"steps": 10}, stream)
"""


def _scripted(image: Image, given: Given) -> Workload:
    """Script mode with a script of the check's: all there is to try where no data are given."""
    folder = image.engine.folder("script")
    (folder / "train_script.py").write_text(_SCRIPT, encoding="utf-8")
    return Workload(
        channels={"code": folder},
        hyperparameters={
            "sagemaker_program": "train_script.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code",
            **given.hyperparameters,
        },
        longer={"seconds": "20"},
        metrics={"loss": r"loss=(.*?);"},
        under_way="^step=3 ",
        has_script_mode=True,
        is_a_script=True,
        trains_on_several_hosts=False,
    )


_ECHO = """
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    return '{"echo": true}', "application/json"
"""


def _hosting(image: Image) -> Hosting:
    """With the toolkit in the image, a model that is nothing but a script; else a guess."""
    if not any(_INFERENCE_TOOLKIT.search(path) for path in files_of(image)):
        return Hosting(is_a_guess=True, bad=_bad(Hosting().message, is_good=False))
    folder = image.engine.folder("echo")
    folder.chmod(0o755)
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text(_ECHO, encoding="utf-8")
    return Hosting(model=folder, takes_scripts=True)


def _with(image: Image, served: Hosting, given: Given) -> Hosting:
    """The same with what the user gave."""
    if given.model is not None:
        served = dataclasses.replace(
            served, model=_unpacked(image, given.model), make_model="", is_a_guess=True
        )
    if given.payload is not None:
        kind = given.content_type or "application/json"
        message = Message(given.payload, kind)
        served = dataclasses.replace(
            served,
            message=message,
            is_a_guess=False,
            bad=_bad(message, is_good=True),
            lines=_lines(message),
        )
    return served


def _lines(message: Message) -> tuple[Message, ...]:
    """Batch transform's, if it is lines: as they are, and with one between them that is none."""
    kind = message.content_type.partition(";")[0].strip()
    if kind not in _LINES:
        return ()
    lines = message.body.removesuffix(b"\n").split(b"\n")
    lines.insert((len(lines) + 1) // 2, b'"' if kind == "text/csv" else b"{")
    return message, dataclasses.replace(message, body=b"\n".join(lines) + b"\n")


def _bad(message: Message, *, is_good: bool) -> tuple[tuple[Message, int], ...]:
    """Requests that no image can take, whatever its model."""
    found = [(Message(message.body, _ODD), 415)]
    if message.content_type == "application/json":
        found.append((Message(b"{"), 400))
    if is_good:
        found.append((Message(message.body, message.content_type, accept=_ODD), 406))
    return tuple(found)


def _unpacked(image: Image, model: Path) -> Path:
    folder = image.engine.folder("given")
    folder.chmod(0o755)
    if model.is_dir():
        shutil.copytree(model, folder, dirs_exist_ok=True)
        return folder
    try:
        with tarfile.open(model) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise EngineError(f"{model} is no model.tar.gz: {error}") from error
    return folder


def pairs(values: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, several times; raises ``ValueError``."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{value!r} is not of the form NAME=VALUE")
        found[name.strip()] = rest
    return found


def read_hyperparameters(path: Path) -> dict[str, str]:
    """A JSON object as SageMaker has it, all strings; raises ``EngineError``."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot read hyperparameters from {path}: {error}") from error
    if not isinstance(found, dict):
        raise EngineError(f"{path} must hold one JSON object of hyperparameters")
    return {name: it if isinstance(it, str) else json.dumps(it) for name, it in found.items()}
