"""One saved step as smdebug has it on disk: an event file and its index, written as wholes.

smdebug's own writer hands each tensor to a thread through a short queue: when the disk is full the
thread dies, and the training that feeds it waits for ever. It also takes 0.3 ms a tensor, for
protobuf in Python, where a save of DistilBERT has 1,700. This one is told of a fault at once.

Form: TFRecords of ``Event`` {wall_time 1, step 2, summary 5 {value 1 {tag 1, tensor 8 {dtype 1,
shape 2 {dim 2 {size 1}}, content 4}, metadata 9 {plugin_data 1 {plugin_name 1, content 2}}}}}.
"""

from __future__ import annotations

import functools
import json
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

_FLOAT, _DOUBLE, _INT64 = 1, 2, 9
_DTYPES = {
    "float32": _FLOAT,
    "float64": _DOUBLE,
    "int64": _INT64,
    "int32": 3,
    "int16": 5,
    "int8": 6,
    "uint8": 4,
    "bool": 10,
    "float16": 19,
}
"""TensorFlow's DataType numbers."""

_REDUCTIONS = "smdebug/reductions/"

_BYTES, _VARINT, _FIXED64 = 2, 0, 1


class EventFile:
    """What smdebug's ``FileWriter`` is, for one step: its hook calls these methods."""

    def __init__(self, folder: Path, step: int, worker: str) -> None:
        from smdebug.core.locations import IndexFileLocationUtils, TensorFileLocation

        place = TensorFileLocation(step_num=step, worker_name=worker)
        self.path = Path(place.get_file_location(trial_dir=str(folder)))
        self._index = Path(IndexFileLocationUtils.get_index_key_for_step(str(folder), step, worker))
        self._folder, self.step = folder, step
        self.mode: Any = None
        self.mode_step = step
        self.values: dict[str, np.ndarray] = {}
        self._content = bytearray()
        self._meta: dict[str, Any] = {}
        self._tensors: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._shapes: list[dict[str, Any]] = []

    def holds(self, name: str) -> bool:
        """Whether a tensor, or a reduction of it, is in the file already."""
        return name in self._names

    def write_tensor(
        self, tdata: Any, tname: str, mode: Any, mode_step: int, timestamp: float | None = None
    ) -> None:
        self._of(mode, mode_step)
        value = np.asarray(tdata)
        event = _event(value, tname, self.step, mode.value, mode_step, timestamp)
        header = struct.pack("<Q", len(event))
        self.values[tname] = value
        self._names.add(tname.split("/", 3)[-1] if tname.startswith(_REDUCTIONS) else tname)
        start = len(self._content)
        self._content += header + struct.pack("<I", _checksum(header)) + event + _footer()
        self._tensors.append(
            {"tensorname": tname, "start_idx": start, "length": len(self._content) - start}
        )

    def write_shape(
        self, name: str, shape: Any, mode: Any, mode_step: int, original_name: str | None = None
    ) -> None:
        self._of(mode, mode_step)
        self._shapes.append(
            {"tensorname": name, "originalname": original_name or name, "shape": list(shape)}
        )

    def _of(self, mode: Any, mode_step: int) -> None:
        self.mode, self.mode_step = mode, mode_step
        self._meta = {
            "mode": mode.name,
            "mode_step": mode_step,
            "event_file_name": str(self.path.relative_to(self._folder)),
        }

    def flush(self) -> None:
        """Nothing is written before it is whole."""

    def close(self) -> None:
        """Writes both files, the index last: smdebug's readers look for it. Raises ``OSError``."""
        if not self._meta:
            return
        index = {
            "meta": self._meta,
            "tensor_payload": self._tensors,
            "shape_payload": self._shapes,
        }
        whole(self.path, bytes(self._content))
        whole(self._index, json.dumps(index).encode())


def whole(path: Path, content: bytes) -> None:
    """Writes a file that is whole under its name, or not there; raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def _event(
    value: np.ndarray, tag: str, step: int, mode: int, mode_step: int, timestamp: float | None
) -> bytes:
    tensor = _tensor_header(value.dtype.name, value.shape) + _message(4, value.tobytes())
    summary_value = (
        _message(1, tag.encode()) + _message(8, tensor) + _message(9, _metadata(mode, mode_step))
    )
    return (
        bytes([1 << 3 | _FIXED64])
        + struct.pack("<d", timestamp or time.time())
        + (bytes([2 << 3 | _VARINT]) + _varint(step) if step else b"")
        + _message(5, _message(1, summary_value))
    )


@functools.lru_cache(4096)
def _tensor_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Raises ``ValueError`` for what smdebug has no number for."""
    if dtype not in _DTYPES:
        raise ValueError(f"tensors of {dtype} cannot be saved")
    dims = b"".join(
        _message(2, bytes([1 << 3 | _VARINT]) + _varint(size)) for size in shape
    )  # a size of 0 has a field too: without one it would be read as missing
    return bytes([1 << 3 | _VARINT, _DTYPES[dtype]]) + _message(2, dims)


@functools.lru_cache(8)
def _metadata(mode: int, mode_step: int) -> bytes:
    from smdebug.core.modes import MODE_PLUGIN_NAME, MODE_STEP_PLUGIN_NAME

    plugins = {MODE_STEP_PLUGIN_NAME: mode_step, MODE_PLUGIN_NAME: mode}
    return b"".join(
        _message(1, _message(1, name.encode()) + _message(2, str(content).encode()))
        for name, content in plugins.items()
    )


def _message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 128:
        return bytes([value])
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


@functools.lru_cache(4096)
def _checksum(header: bytes) -> int:
    from smdebug.core.tfrecord.record_writer import masked_crc32c

    return int(masked_crc32c(header))


@functools.cache
def _footer() -> bytes:
    """smdebug's word for a record without a checksum."""
    from smdebug.core.tfrecord.record_writer import CHECKSUM_MAGIC_BYTES, masked_crc32c

    return struct.pack("<I", masked_crc32c(CHECKSUM_MAGIC_BYTES))
