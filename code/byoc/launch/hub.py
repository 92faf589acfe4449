"""Data sets of the Hugging Face Hub, as Parquet files on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc.launch.errors import LaunchError

_SECONDS = 10.0


@dataclass(frozen=True)
class HubData:
    """A repository of the Hub; ``config``: which of its data sets; ``revision``: a commit."""

    name: str
    config: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return self.name + (f" ({self.config})" if self.config else "")


COLA = HubData("nyu-mll/glue", "cola", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
"""CoLA in GLUE; pinned, so that everybody has the same rows."""


@dataclass(frozen=True)
class Fetched:
    """Parquet files by the Hub's own split names; ``hidden``: splits left out, as their labels are
    not public; ``label_names`` where the data set names its classes; ``revision``: its commit."""

    files: dict[str, Path]
    label_names: tuple[str, ...]
    hidden: tuple[str, ...]
    revision: str


def fetch(data: HubData, label_column: str, folder: Path) -> Fetched:
    """Writes FOLDER/SPLIT.parquet for every split of ``data`` that has labels.

    Raises ``LaunchError`` within seconds where no Hub answers, and for what it refuses.
    """
    need_hub(f"data set {data}", "give a folder with tables, or a table")
    import datasets
    from huggingface_hub import HfApi

    datasets.disable_progress_bars()
    files, hidden, names = {}, [], ()
    try:
        found = HfApi().dataset_info(data.name, revision=data.revision, timeout=_SECONDS)
        splits = datasets.load_dataset(data.name, data.config, revision=found.sha)
        for split, rows in splits.items():
            kind = rows.features.get(label_column)
            if isinstance(kind, datasets.ClassLabel):
                names = tuple(kind.names)
                if set(rows.unique(label_column)) == {-1}:
                    hidden.append(split)
                    continue
            files[split] = folder / f"{split}.parquet"
            rows.to_parquet(files[split])
    except Exception as error:  # the Hub's library raises a score of kinds
        raise LaunchError(f"cannot fetch {data} from the Hub: {first_line(error)}") from None
    return Fetched(files, names, tuple(hidden), str(found.sha))


def need_hub(what: str, instead: str) -> None:
    """Raises ``LaunchError`` within seconds where no Hub answers: its library would retry long."""
    import requests
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise LaunchError(f"{what} must come from the Hub, but HF_HUB_OFFLINE is set: {instead}")
    try:
        requests.head(constants.ENDPOINT, timeout=_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise LaunchError(
            f"{what} must come from the Hub, but {constants.ENDPOINT} does not answer "
            f"({type(error).__name__}): {instead}"
        ) from None


def first_line(error: Any) -> str:
    """What an error says, without the pages that the Hub's library adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
