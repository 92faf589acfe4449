"""What DATA and MODEL of a command mean: folders, names on the Hub, or the embedded corpus."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus
from byoc.launch.errors import LaunchError
from byoc.launch.hub import COLA as HUB_COLA
from byoc.launch.hub import fetch, first_line, need_hub
from byoc.launch.uris import stage

TABLES = (".tsv", ".csv", ".jsonl", ".parquet")
COLA = "cola"
DEFAULT_MODEL = "distilbert-base-uncased"
SCRATCH = "scratch"

REAL_HYPERPARAMETERS: dict[str, str] = {"batch-size": "32", "lr": "5e-5", "epochs": "4"}
"""What fine-tunes a pretrained encoder well."""

_CHANNEL_WORDS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Prepared:
    """What a training job needs: folders by channel, and hyperparameters that suit them."""

    channels: Mapping[str, Path]
    hyperparameters: Mapping[str, str]


def prepare(data: str | None, model: str | None, workplace: Path, *, scratch: bool) -> Prepared:
    """The channels and default hyperparameters for DATA and MODEL.

    What has to be written goes under ``workplace``, which is emptied first. ``scratch`` says that
    the user asks for a model with random weights: then none is fetched. Raises ``LaunchError``.
    """
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir(parents=True)
    if not data:
        write_corpus(workplace)
        channels = {name: workplace / name for name in ("train", "validation")}
        names = {"label-names": EMBEDDED_HYPERPARAMETERS["label-names"]}
        if not model:
            return Prepared(channels, EMBEDDED_HYPERPARAMETERS)
        hyperparameters = {**REAL_HYPERPARAMETERS, **names}
    else:
        channels = _cola(workplace) if is_cola(data) else local_channels(Path(data), workplace)
        hyperparameters = dict(REAL_HYPERPARAMETERS)
        if is_cola(data):
            hyperparameters["label-names"] = "unacceptable,acceptable"
    if scratch and not model:
        return Prepared(channels, hyperparameters)
    channels["model"] = model_folder(model or DEFAULT_MODEL, workplace)
    return Prepared(channels, hyperparameters)


def is_cola(data: str) -> bool:
    return data == COLA and not Path(data).exists()


def local_channels(source: Path, workplace: Path) -> dict[str, Path]:
    """Channels of a folder of tables, or of one table: ``find_channels``, each as one folder."""
    found = find_channels(source)
    return {name: _folder(name, paths, workplace) for name, paths in found.items()}


def find_channels(source: Path) -> dict[str, list[Path]]:
    """Files and folders by the channel that the words in their names speak of.

    Files or sub-folders named with train, dev/val/validation or test become channels; a single
    table is the train channel. Raises ``LaunchError`` where there is no train channel to be had.
    """
    if not source.exists():
        raise LaunchError(
            f"there is no folder or file {source} (DATA is a folder, a file, or {COLA!r})"
        )
    if source.is_file():
        found = {"train": [source]}
    else:
        found = {}
        entries = [path for path in sorted(source.iterdir()) if _is_table(path) or path.is_dir()]
        for path in entries:
            channel = channel_of(path)
            if channel:
                found.setdefault(channel, []).append(path)
    if "train" not in found:
        raise LaunchError(
            f"{source} holds no training data: put a {', '.join(TABLES)} file or a folder there "
            "whose name holds the word train"
        )
    return found


def channel_of(path: Path) -> str | None:
    """The channel that a file's or folder's name speaks of: in_domain_dev.tsv is validation."""
    stem = path.name if path.is_dir() else path.stem
    words = [word for word in re.split(r"[^a-z]+", stem.lower()) if word in _CHANNEL_WORDS]
    return _CHANNEL_WORDS[words[-1]] if words else None


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in TABLES


def _folder(name: str, paths: list[Path], workplace: Path) -> Path:
    """One folder for a channel: the only one there is, or one that holds all of its parts."""
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0].absolute()
    folder = workplace / name
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        stage(path, folder / str(number))
    return folder


def model_folder(model: str, workplace: Path) -> Path:
    """MODEL as a folder: itself, or the snapshot of a Hub repository of that name.

    Raises ``LaunchError`` where neither can be had.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise LaunchError(f"{folder} holds no model: there is no config.json in it")
        return folder.absolute()
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LaunchError(f"there is no folder {folder} (MODEL is a folder or a Hub name)")
    need_hub(f"model {model}", "give MODEL=DIR, a folder with a model")
    from huggingface_hub import snapshot_download

    target = workplace / "model"
    try:
        snapshot_download(
            model, local_dir=target, allow_patterns=["*.safetensors", "*.json", "*.txt"]
        )
    except Exception as error:  # the Hub's library raises a score of kinds
        raise LaunchError(f"cannot fetch model {model} from the Hub: {first_line(error)}") from None
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return target


def _cola(workplace: Path) -> dict[str, Path]:
    """CoLA from the Hub, a folder for each split that has labels."""
    fetched = fetch(HUB_COLA, "label", workplace)
    channels = {}
    for split, file in fetched.files.items():
        channels[split] = workplace / split
        channels[split].mkdir()
        file.rename(channels[split] / file.name)
    return channels
