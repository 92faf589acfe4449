"""A pretrained model as the channel `model`: safetensors and what belongs to them, no pickles."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from byoc.data.folder import file_sha256, whole_folder
from byoc.launch.errors import LaunchError
from byoc.launch.hub import first_line, need_hub
from byoc.training.files import write_json

KEPT = (".safetensors", ".json", ".txt")
ORIGIN = "byoc-model.json"
"""Says where the files come from, and what they are."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_OTHERS = (".h5", ".msgpack", ".onnx", ".gguf", ".tflite")
_VOCABULARIES = {"tokenizer.json", "vocab.txt", "vocab.json"}
_SECONDS = 10.0


def choose(names: Iterable[str], model: str) -> list[str]:
    """The names, of a folder's or a repository's files, that a training job needs.

    Raises ``LaunchError`` where there are no safetensors, and says what there is in their place.
    """
    top = sorted(name for name in names if "/" not in name and not name.startswith("."))
    kept = [name for name in top if name.endswith(KEPT) and name != ORIGIN]
    if not any(name.endswith(".safetensors") for name in kept):
        pickles = [name for name in top if PurePosixPath(name).suffix in _PICKLES]
        others = [name for name in top if PurePosixPath(name).suffix in _OTHERS]
        if pickles:
            raise LaunchError(
                f"{model} has its weights as pickles only ({', '.join(pickles[:3])}), and a pickle "
                "runs whatever code it holds when it is read: take a revision with safetensors, or "
                "convert it where you trust it: AutoModel.from_pretrained(…).save_pretrained(…)"
            )
        there = f"; it has {', '.join(others[:3])}, which are not read" if others else ""
        raise LaunchError(f"{model} has no .safetensors weights{there}")
    if "config.json" not in kept:
        raise LaunchError(f"{model} holds no model: there is no config.json in it")
    if not _VOCABULARIES & set(kept):
        raise LaunchError(f"{model} has no tokenizer: there is no tokenizer.json in it")
    return kept


def prepare(model: str, target: Path, revision: str | None = None) -> dict[str, Path]:
    """Writes to ``target`` what a training job needs of MODEL, a folder or a Hub name; returns the
    files by the names that they get in the channel: model/NAME.

    Raises ``LaunchError``; ``target`` is then what it was.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() and target.exists() and folder.samefile(target):
        raise LaunchError(f"{target} is the model itself: give another folder")
    with whole_folder(target, lambda old: (old / ORIGIN).is_file()) as partial:
        origin = _copy(folder, partial) if folder.is_dir() else _fetch(model, revision, partial)
        files = {path.name: file_sha256(path) for path in sorted(partial.iterdir())}
        write_json(partial / ORIGIN, {**origin, "files": files})
    return {f"model/{path.name}": path for path in sorted(target.iterdir())}


def _copy(folder: Path, target: Path) -> dict[str, str]:
    names = choose((path.name for path in folder.iterdir() if path.is_file()), str(folder))
    for name in names:
        shutil.copyfile(folder / name, target / name)
    return {"name": folder.resolve().name}


def _fetch(model: str, revision: str | None, target: Path) -> dict[str, str]:
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LaunchError(f"there is no folder {model} (MODEL is a folder or a Hub name)")
    need_hub(f"model {model}", "give a folder with a model")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        info = HfApi().model_info(model, revision=revision, timeout=_SECONDS)
        names = choose((found.rfilename for found in info.siblings or ()), model)
        snapshot_download(model, revision=info.sha, local_dir=target, allow_patterns=names)
    except LaunchError:
        raise
    except Exception as error:  # the Hub's library raises a score of kinds
        raise LaunchError(f"cannot fetch model {model} from the Hub: {first_line(error)}") from None
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return {"name": model, "revision": str(info.sha)}
