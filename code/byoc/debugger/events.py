"""A fast reader of smdebug's event files.

smdebug's own reader goes through an index, an open file and Python's protobuf for each tensor of
each step: about a millisecond a tensor. This one reads each file once and only the fields that
smdebug writes (TFRecord frames round tensorflow.Event messages); large tensors stay on disk until a
rule asks for them. Checksums are not looked at: smdebug writes none by default either.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from smdebug.core.modes import ModeKeys

from byoc.debugger.save import Save

SMALL = 16_384
"""Bytes up to which a tensor is kept in memory."""
REDUCTION = "smdebug/reductions/"
DTYPES = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
    19: np.float16,
    22: np.uint32,
    23: np.uint64,
}
"""TensorFlow's DataType numbers. smdebug writes no others of torch."""


class _Event(NamedTuple):
    step: int
    time: float
    tag: str
    metadata: bytes
    tensor: tuple[int, int]


class UnreadableError(Exception):
    """A message that is not of smdebug's form."""


def saves(tensors: Path, after: int = -1) -> Iterator[Save]:
    """The saves with a step over ``after``, in order; steps that are still being written wait.

    With several workers each tensor is the first worker's that wrote it, as smdebug reads it.
    """
    events = tensors / "events"
    if not events.is_dir():
        return
    folders = sorted(path for path in events.iterdir() if path.name.isdigit())
    for folder in folders:
        if int(folder.name) <= after:
            continue
        merged: Save | None = None
        # Not by glob: in thousands of folders its patterns take longer than the files.
        for path in sorted(path for path in folder.iterdir() if path.suffix == ".tfevents"):
            for save in _of_file(path):
                merged = save if merged is None else _merge(merged, save)
        if merged is not None:
            yield merged


def _merge(first: Save, second: Save) -> Save:
    first.tensors = {**second.tensors, **first.tensors}
    for name, values in second.reductions.items():
        if name not in first.tensors:
            first.reductions[name] = {**values, **first.reductions.get(name, {})}
    return first


def _of_file(path: Path) -> Iterator[Save]:
    save: Save | None = None
    after = 0
    headers: dict[bytes, tuple[Any, tuple[int, ...]]] = {}
    data = path.read_bytes()
    for start, end in _frames(data):
        if save is not None and _add_scalar(save, data, start, end - after):
            continue
        event = _event(data, start, end)
        if event is None:
            continue
        after = end - event.tensor[1]  # the mode and its step, the same for all of a save
        if save is None:
            save = Save(event.step, *_mode(event.metadata, event.step), event.time)
        _add(save, event.tag, _tensor(data, event.tensor, headers, path))
    if save is not None:
        yield save


Scalar = tuple[str, tuple[str, bool] | None]
_SCALARS: dict[bytes, Scalar | None] = {}
"""What the bytes between step and value say: thousands of saves have the same few hundred."""
_LONGEST, _MOST = 1024, 100_000
"""Bytes of an event that may be a scalar's; entries that are kept."""
_SCALAR = b"\x42\x0a\x08\x01\x12\x00\x22\x04"
"""A TensorProto of one float32 without a shape, up to its four bytes."""
_FLOAT = struct.Struct("<f").unpack_from


def _add_scalar(save: Save, data: bytes, start: int, end: int) -> bool:
    """Adds an event that holds one float32, as most do, in a tenth of the time; False where it is
    another, or has its fields in another order than smdebug's. ``end``: of its tensor.
    """
    if data[start] != 0x09 or end - start > _LONGEST:
        return False
    at = start + 9
    if data[at] == 0x10:  # the step, which all events of a save share
        at += 1
        while data[at] >= 128:
            at += 1
        at += 1
    told = data[at : end - 4]
    if told in _SCALARS:
        found = _SCALARS[told]
    else:
        if len(_SCALARS) >= _MOST:
            _SCALARS.clear()
        found = _SCALARS[told] = _scalar(told)
    if found is None:
        return False
    name, reduction = found
    value: float = _FLOAT(data, end - 4)[0]
    if reduction is None:
        save.tensors[name] = np.array(value, np.float32)
    elif name in save.reductions:
        save.reductions[name][reduction] = value
    else:
        save.reductions[name] = {reduction: value}
    return True


def _scalar(told: bytes) -> Scalar | None:
    """The name in the bytes from the summary's key to the value; None: it is no scalar."""
    at = 0
    for key in (0x2A, 0x0A, 0x0A):  # the lengths of summary, value and tag
        if at >= len(told) or told[at] != key:
            return None
        length, at = _varint(told, at + 1)
    if told[at + length :] != _SCALAR:
        return None
    return _split(told[at : at + length].decode("utf-8"))


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """[start, end) of each TFRecord; a last one that was cut off is left out."""
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        start = at + 12
        if start + length > len(data):
            return
        yield start, start + length
        at = start + length + 4


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protobuf message; a nested one as its (start, end)."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind == 2:
            length, at = _varint(data, at)
            yield key >> 3, (at, at + length)
            at += length
        elif kind == 1:
            yield key >> 3, struct.unpack_from("<d", data, at)[0]
            at += 8
        elif kind == 5:
            yield key >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        else:
            raise UnreadableError(f"wire type {kind} at byte {at}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    result, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at + 1
        shift += 7


def _event(data: bytes, start: int, end: int) -> _Event | None:
    """Event: wall_time 1, step 2, summary 5; None where it carries no tensor."""
    fields = dict(_fields(data, start, end))
    if 5 not in fields:
        return None
    value = next((span for number, span in _fields(data, *fields[5]) if number == 1), None)
    if value is None:
        return None
    inner = dict(_fields(data, *value))  # tag 1, tensor 8, metadata 9
    if 8 not in inner:
        return None
    tag, metadata = (data[slice(*inner[each])] if each in inner else b"" for each in (1, 9))
    return _Event(fields.get(2, 0), fields.get(1, 0.0), tag.decode("utf-8"), metadata, inner[8])


def _mode(metadata: bytes, step: int) -> tuple[ModeKeys, int]:
    """SummaryMetadata: plugin_data 1 {plugin_name 1, content 2} for "mode" and "mode_step"."""
    found: dict[str, str] = {}
    for number, span in _fields(metadata, 0, len(metadata)):
        if number == 1:
            parts = {n: metadata[s:e].decode("utf-8") for n, (s, e) in _fields(metadata, *span)}
            found[parts.get(1, "")] = parts.get(2, "")
    mode = ModeKeys(int(found["mode"])) if "mode" in found else ModeKeys.GLOBAL
    return mode, int(found.get("mode_step", step))


def _tensor(
    data: bytes, span: tuple[int, int], headers: dict[bytes, Any], path: Path
) -> np.ndarray | Any:
    """TensorProto: dtype 1, tensor_shape 2 {dim 2 {size 1}}, tensor_content 4; text 8."""
    kind, shape_span, content, texts = 0, None, None, []
    for number, value in _fields(data, *span):
        if number == 1:
            kind = value
        elif number == 2:
            shape_span = value
        elif number == 4:
            content = value
        elif number == 8:
            texts.append(data[value[0] : value[1]].decode("utf-8"))
    if texts:
        return np.array(texts)
    header = b"%d:" % kind + (data[shape_span[0] : shape_span[1]] if shape_span else b"")
    dtype, shape = headers.get(header) or headers.setdefault(
        header, (_dtype(kind), _shape(data, shape_span))
    )
    start, end = content or (0, 0)
    if end - start > SMALL:
        return partial(_read, path, start, end, dtype, shape)
    return np.frombuffer(data[start:end], dtype).reshape(shape)


def _dtype(kind: int) -> Any:
    if kind not in DTYPES:
        raise UnreadableError(f"tensor type {kind}")
    return DTYPES[kind]


def _shape(data: bytes, span: tuple[int, int] | None) -> tuple[int, ...]:
    if span is None:
        return ()
    dims = [value for number, value in _fields(data, *span) if number == 2]
    return tuple(next((v for n, v in _fields(data, *dim) if n == 1), 0) for dim in dims)


def _read(path: Path, start: int, end: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(start)
        return np.frombuffer(file.read(end - start), dtype).reshape(shape)


def _add(save: Save, tag: str, tensor: Any) -> None:
    name, reduction = _split(tag)
    if reduction is None:
        save.tensors[name] = tensor
    else:
        value = float(np.asarray(tensor).reshape(-1)[0])
        save.reductions.setdefault(name, {})[reduction] = value


def _split(tag: str) -> tuple[str, tuple[str, bool] | None]:
    """A tensor under its own name; smdebug/reductions/[abs_]NAME/TENSOR is a reduction."""
    if not tag.startswith(REDUCTION):
        return tag, None
    reduction, name = tag[len(REDUCTION) :].split("/", 1)
    return name, (reduction.removeprefix("abs_"), reduction.startswith("abs_"))
