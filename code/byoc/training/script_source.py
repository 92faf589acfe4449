"""The user's source directory: found, fetched and laid out in code/."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from byoc import archive, contract
from byoc.training.faults import TrainingFault, reason

CHANNEL = "code"
"""The channel that holds the source where sagemaker_submit_directory names none."""

_OURS = ".laid-out-by-train"


def lay_out(found: Any, folder: Path) -> None:
    """Fills ``folder`` from where the toolkit's environment ``found`` says; see ``_origin``.

    A folder that holds something already is the user's own (mounted, or from a derived image)
    and stays as it is, as with the toolkit.
    Raises ``TrainingFault`` where nothing is given or it cannot be read.
    """
    origin = _origin(found)
    _forget_earlier(folder)
    if any(folder.iterdir()):
        if origin and Path(origin) != folder:
            print(f"train: {folder} is not empty: {origin} is not used", flush=True)
        return
    if origin is None:
        raise TrainingFault(
            f"there is no source for {found.user_entry_point}: name a tar.gz in S3 or a folder "
            f"with sagemaker_submit_directory, or give a channel {CHANNEL}"
        )
    with tempfile.TemporaryDirectory() as place:
        _lay_out(_fetched(origin, Path(place)), origin, folder)
    (folder / _OURS).touch()


def holds(folder: Path) -> list[str]:
    """The names in the user's source."""
    return sorted(path.name for path in folder.iterdir() if path.name != _OURS)


def _forget_earlier(folder: Path) -> None:
    """A second run in the same tree takes the source as it is now, not as it was then."""
    if not (folder / _OURS).exists():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _origin(found: Any) -> str | None:
    """sagemaker_submit_directory as hyperparameter or variable, else the channel `code`."""
    if found.module_dir != str(contract.base_dir() / "code"):  # the toolkit's default
        return str(found.module_dir)
    channel = contract.channel_dir(CHANNEL)
    named = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY")
    return named or (str(channel) if channel.is_dir() else None)


def _fetched(origin: str, place: Path) -> Path:
    if not origin.startswith("s3://"):
        return Path(origin)
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from sagemaker_training import files

    target = place / "sourcedir.tar.gz"
    try:
        files.s3_download(origin, str(target))
    except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
        raise TrainingFault(
            f"cannot fetch {origin}: {reason(error)}; with network isolation or without "
            f"permission to read it, give the source as a channel {CHANNEL}"
        ) from error
    return target


def _lay_out(source: Path, origin: str, folder: Path) -> None:
    try:
        if source.is_dir():
            packed = list(source.iterdir())
            if len(packed) != 1 or not packed[0].name.endswith(".tar.gz"):
                shutil.copytree(source, folder, dirs_exist_ok=True)
                return
            source = packed[0]
        if source.suffix in (".py", ".sh"):
            shutil.copy2(source, folder)
            return
        if not source.exists():
            raise TrainingFault(f"sagemaker_submit_directory: there is no {origin}")
        with tempfile.TemporaryDirectory() as place:
            # By way of another folder: code/ itself may be a mount, which cannot be replaced.
            archive.unpack(source, Path(place) / "code")
            shutil.copytree(Path(place) / "code", folder, dirs_exist_ok=True)
    except archive.ArchiveError as error:
        raise TrainingFault(str(error).replace(str(source), origin)) from error
    except (OSError, shutil.Error) as error:
        raise TrainingFault(f"cannot copy {origin} to {folder}: {reason(error)}") from error
