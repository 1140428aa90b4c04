"""Where Kafka put the events of a segment: one entry for events of one partition whose offsets follow each other.

The events of an entry are those of `topic` in `[first, last]` whose hash modulo `partitions` is `partition`, in order,
at `offset`, `offset + 1`, … So an entry of some thousand events takes as much as one of a single event. Entries are
written before the cursor is: an event that counts as acknowledged has one, unless the disk was full.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

_ENTRY: Final = struct.Struct("<IQQQIIIH")
_CRC_BYTES: Final = 4


class Placed(NamedTuple):
    """Where Kafka put some events."""

    topic: str
    partitions: int
    partition: int
    first: int
    last: int
    offset: int
    events: int


def runs(
    topic: str, partitions: int, partition: int, numbers: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> list[Placed]:
    """The entries of events `numbers` that Kafka put at `offsets`, none of them acknowledged before."""
    breaks = np.flatnonzero(np.diff(offsets) != 1) + 1
    starts = [0, *breaks.tolist()]
    ends = [*breaks.tolist(), len(numbers)]
    return [
        Placed(
            topic, partitions, partition, int(numbers[start]), int(numbers[end - 1]), int(offsets[start]), end - start
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def append(path: Path, placed: Iterable[Placed]) -> None:
    """Add entries to the index at `path`, all or none. Raises `OSError`."""
    packed = b"".join(map(_pack, placed))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    size = os.fstat(handle).st_size
    try:
        written = os.write(handle, packed)
        if written < len(packed):
            os.write(handle, packed[written:])
    except OSError:
        os.ftruncate(handle, size)
        raise
    finally:
        os.close(handle)


def read(path: Path) -> list[Placed]:
    """The entries at `path`, in the order of Kafka's answers; what is damaged is left out, from there on."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    start = 0
    while len(data) - start >= _ENTRY.size:
        checksum, first, last, offset, count, partitions, partition, length = _ENTRY.unpack_from(data, start)
        end = start + _ENTRY.size + length
        if end > len(data) or crc32(data[start + _CRC_BYTES : end]) != checksum:
            break
        topic = data[start + _ENTRY.size : end].decode()
        found.append(Placed(topic, partitions, partition, first, last, offset, count))
        start = end
    return found


def _pack(placed: Placed) -> bytes:
    name = placed.topic.encode()
    packed = _ENTRY.pack(
        0, placed.first, placed.last, placed.offset, placed.events, placed.partitions, placed.partition, len(name)
    )
    checked = packed[_CRC_BYTES:] + name
    return crc32(checked).to_bytes(_CRC_BYTES, "little") + checked
