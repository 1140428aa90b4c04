"""Confluent framing, a whole batch at a time: magic byte 0, four-byte schema id (big-endian), Avro datum."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

FRAME_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Frames:
    """What the frames of a batch say, one entry a message.

    `lengths` (int64) in bytes, 0 for a message without any; `framed` whether there is a frame at all; `ids` (int64) the
    schema ids, which mean nothing where `framed` is false.
    """

    lengths: npt.NDArray[np.int64]
    framed: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


def read_frames(values: Sequence[bytes | None]) -> Frames:
    """The frames of all messages, without looking at the datums."""
    # Almost always all of them have bytes, and seeing that is much quicker than another list.
    datums = cast("Sequence[bytes]", values) if all(values) else [value or b"" for value in values]
    count = len(datums)
    lengths = np.fromiter(map(len, datums), dtype=np.int64, count=count)
    framed = lengths >= FRAME_BYTES
    if not framed.any():
        return Frames(lengths, framed, np.zeros(count, dtype=np.int64))
    data = np.frombuffer(b"".join(datums), dtype=np.uint8)
    starts = np.cumsum(lengths) - lengths
    if not framed.all():
        starts = np.where(framed, starts, 0)
    framed &= data[starts] == 0
    # The four bytes after each byte of `data`, as one number, without a copy.
    after = np.ndarray(len(data) - FRAME_BYTES + 1, dtype=">u4", buffer=data, offset=1, strides=(1,))
    ids = after[starts].astype(np.int64)
    return Frames(lengths, framed, ids)


def frame(schema_id: int) -> bytes:
    """The five bytes before a datum written with schema `schema_id`."""
    return struct.pack(">bI", 0, schema_id)
