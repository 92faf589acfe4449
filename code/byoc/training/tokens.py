"""Splits as token ids on disk: written once, mapped into memory by every process that trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from byoc.training.faults import TrainingFault, reason
from byoc.training.sources import Example, Splits

ROWS = 1024
"""Rows that are tokenized at once, and that a record batch of the Arrow file holds: larger ones
are no faster, and take memory where the texts are long."""
CHARACTERS_PER_TOKEN = 256
"""More than the average token has in any text, so that cutting there loses none of max_length;
serving cuts at the same place."""

Ids = npt.NDArray[np.integer[Any]]
Lists = list[list[int]]


def tokenize(splits: Splits, tokenizer: Any, max_length: int, folder: Path) -> None:
    """Writes SPLIT.arrow for every split: ids cut at ``max_length`` tokens, special ones included.

    ``tokenizer``: a fast one of transformers. Token types are kept where there are sentence pairs
    and the tokenizer names them among the model's inputs. Raises ``TrainingFault`` where the
    folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split in splits.sizes:
            with _whole_only(folder / f"{split}.arrow") as path, _all_cores():
                _write(splits.examples(split), tokenizer, max_length, path)
    except OSError as error:
        # pyarrow's own words for an error number go round about it.
        plain = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
        raise TrainingFault(
            f"cannot write the tokenized rows to {folder}: {reason(plain)}"
        ) from error


@contextmanager
def _whole_only(path: Path) -> Iterator[Path]:
    """Another name to write to; the file gets its own once it is whole."""
    temporary = path.with_suffix(".tmp")
    try:
        yield temporary
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _all_cores() -> Iterator[None]:
    """The tokenizer's threads, as many as the container may use; none of them afterwards.

    The variable is left at ``false``, not unset: a loader process that is forked later must not
    use the threads, which fork does not copy, and the library would warn of it.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _write(examples: Iterator[Example], tokenizer: Any, max_length: int, path: Path) -> None:
    import pyarrow

    first = next(examples)
    size = np.uint16 if len(tokenizer) <= np.iinfo(np.uint16).max + 1 else np.int32
    has_types = first.pair is not None and "token_type_ids" in tokenizer.model_input_names
    fields = {"input_ids": pyarrow.list_(pyarrow.from_numpy_dtype(size)), "label": pyarrow.int16()}
    if has_types:
        fields["token_type_ids"] = pyarrow.list_(pyarrow.uint8())
    schema = pyarrow.schema(fields)
    examples = chain((first,), examples)
    encode = _encoder(tokenizer, max_length)
    with (
        pyarrow.OSFile(str(path), "wb") as sink,
        pyarrow.ipc.new_file(sink, schema) as writer,
    ):
        for batch, (ids, types) in _one_ahead(encode, examples):
            labels = np.fromiter((example.label for example in batch), np.int16, len(batch))
            columns = [_lists(ids, size), _flat_array(labels)]
            if has_types:
                columns.append(_lists(types, np.uint8))
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))


def _one_ahead(
    encode: Callable[[list[Example]], tuple[Lists, Lists]], examples: Iterator[Example]
) -> Iterator[tuple[list[Example], tuple[Lists, Lists]]]:
    """Batches with what ``encode`` makes of them; the next is encoded while one is written."""
    batches = iter(lambda: list(islice(examples, ROWS)), [])
    with ThreadPoolExecutor(1) as pool:
        batch = next(batches)
        encoded = pool.submit(encode, batch)
        for following in batches:
            ahead = pool.submit(encode, following)
            yield batch, encoded.result()
            batch, encoded = following, ahead
        yield batch, encoded.result()


def _encoder(tokenizer: Any, max_length: int) -> Callable[[list[Example]], tuple[Lists, Lists]]:
    """The tokenizer's core: without transformers' own layer, and without offsets, it is three
    times as fast."""
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    limit = max_length * CHARACTERS_PER_TOKEN
    kept = slice(-limit, None) if tokenizer.truncation_side == "left" else slice(limit)

    def encode(batch: list[Example]) -> tuple[Lists, Lists]:
        found = backend.encode_batch_fast(
            [text[kept] if pair is None else (text[kept], pair[kept]) for text, pair, _ in batch]
        )
        return [row.ids for row in found], [row.type_ids for row in found]

    return encode


def _lists(rows: Lists, size: Any) -> Any:
    import pyarrow

    ends = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, rows), np.int32, len(rows)), out=ends[1:])
    values = np.fromiter(chain.from_iterable(rows), size, int(ends[-1]))
    return pyarrow.ListArray.from_arrays(_flat_array(ends), _flat_array(values))


def _flat_array(values: npt.NDArray[Any]) -> Any:
    """The same memory as an Arrow array; `pyarrow.array` would import pandas for it."""
    import pyarrow

    kind = pyarrow.from_numpy_dtype(values.dtype)
    return pyarrow.Array.from_buffers(kind, len(values), [None, pyarrow.py_buffer(values)])


class Tokens:
    """A split's rows, read from the mapped file when asked for: what is held is an index.

    ``lengths`` [rows] int32, in tokens; ``labels`` [rows] int64.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow

        self._path = path
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_file(source) as reader:
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._ids = [_flat(batch["input_ids"]) for batch in batches]
        self._types = (
            [_flat(batch["token_type_ids"]) for batch in batches]
            if "token_type_ids" in batches[0].schema.names
            else None
        )
        self.lengths = np.concatenate([np.diff(ends) for ends, _ in self._ids])
        self.labels = np.concatenate(
            [np.from_dlpack(batch["label"]) for batch in batches], dtype=np.int64
        )

    def __len__(self) -> int:
        return len(self.labels)

    def ids(self, row: int) -> Ids:
        """``input_ids`` [tokens], not to be written to."""
        return _slice(self._ids, row)

    def types(self, row: int) -> Ids | None:
        """``token_type_ids`` [tokens], where the rows are sentence pairs and the model has them."""
        return None if self._types is None else _slice(self._types, row)

    @property
    def has_types(self) -> bool:
        return self._types is not None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the file for itself."""
        return Tokens, (self._path,)


Flat = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""(where each row's values end, the first entry being 0; the values of all rows)"""


def _flat(column: Any) -> Flat:
    # Arrow's own to_numpy would import pandas: a second, before the first step.
    return np.from_dlpack(column.offsets), np.from_dlpack(column.values)


def _slice(batches: list[Flat], row: int) -> Ids:
    number, place = divmod(row, ROWS)
    ends, values = batches[number]
    return values[ends[place] : ends[place + 1]]
