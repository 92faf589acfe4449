"""Texts to their numbers of word pieces, by a model's own fast tokenizer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.data.rows import Rows, read
from byoc.data.sources import Source
from byoc.launch.data import SCRATCH
from byoc.launch.errors import LaunchError
from byoc.launch.hub import first_line, need_hub
from byoc.training.readers import Columns

LONGEST = 1 << 17
"""Characters of a text that are looked at: far more than 512 word pieces have."""
CHARACTERS = 1 << 20
"""Texts of about so many are encoded at once, so that memory stays flat where they are long."""

Lengths = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Pieces:
    """``name``: whose tokenizer; ``limit``: the most that the model takes, where that is known."""

    name: str
    tokenizer: Any
    limit: int | None = None

    def lengths(self, rows: Rows) -> Lengths:
        """[rows], special ones included, as training counts them."""
        texts: list[Any] = [text[:LONGEST] for text in rows.texts]
        if rows.pairs is not None:
            pairs = (pair[:LONGEST] for pair in rows.pairs)
            texts = list(zip(texts, pairs, strict=True))
        found = [
            len(encoded)
            for part in _parts(texts)
            for encoded in self.tokenizer.encode_batch_fast(part)
        ]
        return np.array(found, np.int32)


def _parts(texts: list[Any]) -> Iterator[list[Any]]:
    start, size = 0, 0
    for place, text in enumerate(texts):
        size += len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
        if size > CHARACTERS:
            yield texts[start : place + 1]
            start, size = place + 1, 0
    if start < len(texts):
        yield texts[start:]


def load(model: str, source: Source, columns: Columns, skip_empty: bool) -> Pieces:
    """The tokenizer of a model's folder or Hub name; ``scratch``: a WordPiece vocabulary learned
    from the training texts, as training learns it.

    Raises ``LaunchError`` where there is none, or where the library is not installed.
    """
    # It asks for all cores only where it is told that no process will be forked.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        if model == SCRATCH:
            return _learned(source, columns, skip_empty)
        return _of_model(model)
    except ImportError as error:
        raise LaunchError(
            f"word pieces need the package {error.name}: pip install 'byoc[train]', or leave "
            "--model out for characters and words"
        ) from None


def _learned(source: Source, columns: Columns, skip_empty: bool) -> Pieces:
    from byoc.training.scratch import POSITIONS, learn_tokenizer

    rows = read(source.files["train"], columns, skip_empty)
    texts = (
        text for block in rows for column in (block.texts, block.pairs or ()) for text in column
    )
    tokenizer = learn_tokenizer(texts).backend_tokenizer
    return Pieces("a WordPiece vocabulary learned from train", _plain(tokenizer), POSITIONS)


def _of_model(model: str) -> Pieces:
    from tokenizers import Tokenizer

    files = _files(model)
    if files["tokenizer.json"] is None:
        raise LaunchError(
            f"{model} has no tokenizer.json, the file of a fast tokenizer: save one with "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    try:
        tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        settings = _json(files["tokenizer_config.json"])
        shape = _json(files["config.json"])
    except Exception as error:  # the library raises bare Exception
        raise LaunchError(f"cannot read the tokenizer of {model}: {first_line(error)}") from None
    limits = (settings.get("model_max_length"), shape.get("max_position_embeddings"))
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and limit < 1e6]
    return Pieces(Path(model).name, _plain(tokenizer), min(known, default=None))


def _files(model: str) -> dict[str, Path | None]:
    names = ("tokenizer.json", "tokenizer_config.json", "config.json")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return {name: folder / name if (folder / name).is_file() else None for name in names}
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LaunchError(f"there is no folder {folder} (--model is a folder or a Hub name)")
    need_hub(f"the tokenizer of {model}", "give a model's folder, or leave --model out")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    found: dict[str, Path | None] = {}
    for name in names:
        try:
            found[name] = Path(hf_hub_download(model, name))
        except EntryNotFoundError:
            found[name] = None
        except Exception as error:  # the Hub's library raises a score of kinds
            raise LaunchError(
                f"cannot fetch {name} of {model} from the Hub: {first_line(error)}"
            ) from None
    return found


def _json(path: Path | None) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    return content if isinstance(content, dict) else {}


def _plain(tokenizer: Any) -> Any:
    """Neither cut nor padded: whole lengths are wanted."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
