"""Confluent framing, a whole batch at a time: magic byte 0, four-byte schema id (big-endian), Avro datum."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

FRAME_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Frames:
    """What the frames of a batch say, one entry a message.

    `lengths` (int64) in bytes, 0 for a null message; `framed` whether there is a frame at all; `ids` (int64) the
    schema ids, which mean nothing where `framed` is false.
    """

    lengths: npt.NDArray[np.int64]
    framed: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


def read_frames(values: pa.BinaryArray) -> Frames:
    """The frames of all messages, without touching the datums."""
    count = len(values)
    _, offset_buffer, data_buffer = values.buffers()
    if count == 0 or offset_buffer is None or data_buffer is None:
        nothing = np.zeros(count, dtype=np.int64)
        return Frames(nothing, nothing.astype(np.bool_), nothing)
    offsets = np.frombuffer(memoryview(offset_buffer), dtype=np.int32)[
        values.offset : values.offset + count + 1
    ].astype(np.int64)
    data = np.frombuffer(memoryview(data_buffer), dtype=np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    if values.null_count:
        lengths[np.asarray(values.is_null())] = 0
    framed = lengths >= FRAME_BYTES
    if not framed.all():
        starts = np.where(framed, starts, 0)
    if not framed.any():
        return Frames(lengths, framed, np.zeros(count, dtype=np.int64))
    framed &= data[starts] == 0
    ids = np.zeros(count, dtype=np.int64)
    for position in range(1, FRAME_BYTES):
        ids = (ids << 8) | data[starts + position]
    return Frames(lengths, framed, ids)


def frame(schema_id: int) -> bytes:
    """The five bytes before a datum written with schema `schema_id`."""
    return struct.pack(">bI", 0, schema_id)
