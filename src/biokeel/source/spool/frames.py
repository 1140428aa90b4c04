"""The bytes of a segment: frames, each some events of one topic, that prove themselves whole.

```
mark (8 bytes) | CRC-32 of what follows in the head | CRC-32 of the body | number of the first event (u64)
               | events (u32) | bytes of the body (u32)                                           little-endian
body: length of the topic's name (u16) | name | u32 hash of each event | u32 length of each | the events
```

The mark is drawn for each segment and stands in the file's name, so that no event can hold bytes that are taken for a
frame when one is looked for behind a damaged one. The hash is that of `biokeel.source.partition`: which partition it
becomes is seen when Kafka says how many there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, cast
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MARK_BYTES: Final = 8
_HEAD: Final = struct.Struct("<8sIIQII")
_CHECKED: Final = struct.Struct("<IQII")
_LENGTH: Final = struct.Struct("<H")
_ONE: Final = struct.Struct("<II")
HEAD_BYTES: Final = _HEAD.size
MOST_BYTES: Final = 8 << 20
"""Bytes of frames that are gathered before they are handed on."""
_CHECKED_FROM: Final = MARK_BYTES + 4


class Head(NamedTuple):
    """What the head of a frame says; the frame is at `[start, end)` of the bytes that it was found in."""

    start: int
    end: int
    crc: int
    number: int
    events: int

    @property
    def body(self) -> int:
        """Where the body begins."""
        return self.start + HEAD_BYTES


class Events(NamedTuple):
    """Some events of one topic: their numbers and hashes (int64, uint32), and the messages as Kafka gets them."""

    topic: str
    numbers: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint32]
    values: list[bytes]


def columns_of(hashes: npt.NDArray[np.uint32], lengths: npt.NDArray[np.uint32]) -> bytes:
    """The columns of a frame of several events."""
    return hashes.astype("<u4", copy=False).tobytes() + lengths.astype("<u4", copy=False).tobytes()


def columns_of_one(hashed: int, length: int) -> bytes:
    """The columns of a frame of one event."""
    return _ONE.pack(hashed, length)


def pack(  # noqa: PLR0917
    mark: bytes, number: int, topic: str, count: int, columns: bytes, data: bytes | memoryview
) -> bytes:
    """The head and the columns of a frame; `data`, the events one behind the other, comes after them."""
    name = topic.encode()
    front = _LENGTH.pack(len(name)) + name + columns
    checked = _CHECKED.pack(crc32(data, crc32(front)), number, count, len(front) + len(data))
    return mark + crc32(checked).to_bytes(4, "little") + checked + front


def head_at(data: bytes | memoryview, start: int, mark: bytes) -> Head | None:
    """The head at `start`, None where there is none or it is damaged."""
    if len(data) - start < HEAD_BYTES:
        return None
    found, head_crc, crc, number, count, size = _HEAD.unpack_from(data, start)
    if found != mark or crc32(data[start + _CHECKED_FROM : start + HEAD_BYTES]) != head_crc:
        return None
    return Head(start, start + HEAD_BYTES + size, crc, number, count)


def next_head(data: bytes, start: int, mark: bytes) -> Head | None:
    """The first whole frame of `data` at or behind `start`, None where there is none."""
    while (start := data.find(mark, start)) >= 0:
        head = head_at(data, start, mark)
        if head is not None and is_whole(data, head):
            return head
        start += 1
    return None


def is_whole(data: bytes | memoryview, head: Head) -> bool:
    """Whether the frame's body is all there, as it was written."""
    return head.end <= len(data) and crc32(memoryview(data)[head.body : head.end]) == head.crc


def heads(data: bytes, start: int, mark: bytes) -> Iterator[Head]:
    """The heads from `start` on, as long as each frame ends within `data`; bodies are not looked at."""
    while (head := head_at(data, start, mark)) is not None and head.end <= len(data):
        yield head
        start = head.end


class Gathering:
    """Gathers the events of frames that follow each other, by topic: many small frames become few batches."""

    def __init__(self) -> None:
        self.count = self._bytes = 0
        self._topics: dict[str, tuple[list[npt.NDArray[np.int64]], list[npt.NDArray[np.uint32]], list[bytes]]] = {}
        self._small: dict[str, tuple[list[int], list[int], list[bytes]]] = {}

    def enough(self, most: int) -> bool:
        """Whether `most` events were gathered, or as many bytes as are held at once."""
        return self.count >= most or self._bytes >= MOST_BYTES

    def topic_of(self, data: bytes, head: Head) -> tuple[str, int]:
        """The topic of a frame, and where its columns begin."""
        (length,) = _LENGTH.unpack_from(data, head.body)
        columns = head.body + 2 + length
        return data[head.body + 2 : columns].decode(), columns

    def add(self, data: bytes, head: Head, topic: str, columns: int) -> None:
        """Take the events of a whole frame, `topic` and `columns` as `topic_of` says."""
        self.count += head.events
        self._bytes += head.end - head.start
        if head.events == 1:
            hashed, _ = _ONE.unpack_from(data, columns)
            numbers, hashes, values = self._small.setdefault(topic, ([], [], []))
            numbers.append(head.number)
            hashes.append(hashed)
            values.append(data[columns + _ONE.size : head.end])
            return
        self._settle(topic)
        large = self._topics.setdefault(topic, ([], [], []))
        large[0].append(np.arange(head.number, head.number + head.events))
        large[1].append(np.frombuffer(data, "<u4", head.events, columns))
        large[2].extend(_split(data, head, columns))

    def take(self) -> list[Events]:
        """All that was gathered, in order within each topic."""
        for topic in list(self._small):
            self._settle(topic)
        return [
            Events(topic, np.concatenate(numbers), np.concatenate(hashes), values)
            for topic, (numbers, hashes, values) in self._topics.items()
        ]

    def _settle(self, topic: str) -> None:
        """Put the single events that wait behind those of larger frames."""
        if some := self._small.pop(topic, None):
            numbers, hashes, values = self._topics.setdefault(topic, ([], [], []))
            numbers.append(np.array(some[0], np.int64))
            hashes.append(np.array(some[1], np.uint32))
            values.extend(some[2])


def _split(data: bytes, head: Head, columns: int) -> list[bytes]:
    """The events of a frame of several."""
    lengths = np.frombuffer(data, "<u4", head.events, columns + 4 * head.events)
    offsets = np.zeros(head.events + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    body = pa.py_buffer(memoryview(data)[columns + 8 * head.events : head.end])
    buffers = [None, pa.py_buffer(offsets.tobytes()), body]
    return cast("list[bytes]", pa.BinaryArray.from_buffers(pa.binary(), head.events, buffers).to_pylist())
