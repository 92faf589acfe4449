"""Reads system metrics in SageMaker's form: a million samples in seconds, in columns.

Files ``system/incremental/YYYYMMDDHH/SECONDS.algo-N.json``, an object a line:
``{"Type":"cpu","Name":"cpu0","Dimension":"CPUUtilization","Value":3.0,"NodeId":"algo-1",
"Timestamp":1591160699.45}``. The platform writes them, and our sampler.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from byoc.debugger.layout import INCREMENTAL, SYSTEM
from byoc.debugger.run import Series

CHUNK = 16 << 20
"""Bytes that are parsed together: a file holds a minute, and a long job has many."""

_KEYS = ("NodeId", "Type", "Name", "Dimension")
_VALUES = ("Value", "Timestamp")

Key = tuple[str, str, str, str]
"""node, type, name, dimension"""


def read(profiler: Path) -> list[Series]:
    """All series of ``profiler``/system, each in the order of time; none where there are no files.

    Lines that are no samples (a torn last one) are passed over.
    """
    numbers: dict[Key, int] = {}
    codes, times, values = [], [], []
    for content in _chunks(profiler / SYSTEM / INCREMENTAL):
        columns = _columns(content)
        codes.append(_codes(columns[:4], numbers))
        values.append(np.asarray(columns[4], np.float64))
        times.append(np.asarray(columns[5], np.float64))
    if not codes:
        return []
    code, when, what = np.concatenate(codes), np.concatenate(times), np.concatenate(values)
    order = np.lexsort((when, code))
    code, when, what = code[order], when[order], what[order]
    bounds = np.searchsorted(code, np.arange(len(numbers) + 1))
    series = []
    for (node, kind, name, dimension), number in sorted(numbers.items()):
        part = slice(bounds[number], bounds[number + 1])
        series.append(Series(node, kind, name, dimension, when[part], what[part]))
    return series


def _chunks(folder: Path) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for path in sorted(folder.glob("*/*.json")):
        content = path.read_bytes()
        parts.append(content if content.endswith(b"\n") else content + b"\n")
        size += len(content)
        if size >= CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


def _columns(content: bytes) -> list[Any]:
    """NodeId, Type, Name, Dimension (dictionary-encoded), Value, Timestamp."""
    import pyarrow
    from pyarrow import compute
    from pyarrow import json as arrow_json

    text = pyarrow.string()
    schema = pyarrow.schema(
        [(name, text) for name in _KEYS] + [(name, pyarrow.float64()) for name in _VALUES]
    )
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    # A block must hold a line; the default of 1 MB makes for more threads' work than ours.
    blocks = arrow_json.ReadOptions(use_threads=False, block_size=1 << 20)
    try:
        table = arrow_json.read_json(io.BytesIO(content), blocks, options)
    except pyarrow.ArrowInvalid:
        table = pyarrow.Table.from_pylist(_line_by_line(content), schema)
    table = table.filter(
        compute.and_(compute.is_valid(table["Value"]), compute.is_valid(table["Timestamp"]))
    )
    keys = [table[name].fill_null("").combine_chunks().dictionary_encode() for name in _KEYS]
    return [*keys, *(table[name].to_numpy() for name in _VALUES)]


def _codes(columns: list[Any], numbers: dict[Key, int]) -> np.ndarray:
    """[n]: the number of each line's (node, type, name, dimension); new ones join ``numbers``."""
    flat = np.zeros(len(columns[0]), np.int64)
    words = []
    for column in columns:
        words.append(column.dictionary.to_pylist())
        flat = flat * max(1, len(words[-1])) + column.indices.to_numpy(zero_copy_only=False)
    kinds, where = np.unique(flat, return_inverse=True)
    found = np.empty(len(kinds), np.int32)
    for place, kind in enumerate(kinds.tolist()):
        key = []
        for choices in reversed(words):
            kind, index = divmod(kind, len(choices))
            key.append(choices[index])
        dimension, name, type_, node = key
        found[place] = numbers.setdefault((node, type_, name, dimension), len(numbers))
    return found[where]


def _line_by_line(content: bytes) -> list[dict[str, Any]]:
    """The samples of content that is not JSON throughout."""
    samples = []
    for line in content.splitlines():
        try:
            sample = json.loads(line)
            sample = {
                **{name: str(sample.get(name) or "") for name in _KEYS},
                **{name: float(sample[name]) for name in _VALUES},
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        samples.append(sample)
    return samples
