"""Unpacks compressed batches of Kafka's, but none that comes to more than `MOST_BYTES`.

A producer may compress a thousandfold, and the broker only minds what that comes to: 400 kB in a topic may be 400 MB.
aiokafka unpacks a batch whole, whatever it comes to, before anybody can look. So its decoders are replaced here, for
the whole process, by some that stop at the bound: what is refused is never held, and the rest is unpacked only once.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import cramjam
import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from biokeel.errors import OversizedBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

MOST_BYTES: Final = 32 << 20
"""Twice what a message may have in a topic. A producer that compresses its batches tenfold, and measures them after
that, comes to this with batches of 3 MiB; usual are 16 kB to 1 MiB."""
_ORDINARY: Final = 8
"""What is unpacked first, in sizes of what is packed: nearly always all of it."""
_PART: Final = 1 << 20
_XERIAL: Final = b"\x82SNAPPY\x00" + (1).to_bytes(4, "big") + (1).to_bytes(4, "big")
"""How snappy begins where a Java library has cut it into blocks, each behind its size."""


def stream(codec: Literal["gzip", "lz4", "zstd"], data: Buffer) -> bytes:
    """What `data` unpacks to, by `codec` as Arrow names it. Raises `OversizedBatch` where that is too much."""
    packed = memoryview(data)
    room, wanted = MOST_BYTES, _ORDINARY * len(packed)
    parts: list[bytes] = []
    with pa.CompressedInputStream(pa.BufferReader(packed), codec) as unpacked:
        while part := unpacked.read(min(wanted, room + 1)):
            room -= len(part)
            if room < 0:
                raise OversizedBatch(MOST_BYTES, bytes(packed))
            parts.append(part)
            wanted = _PART
    return parts[0] if len(parts) == 1 else b"".join(parts)


def snappy(data: Buffer) -> bytes:
    """As `stream`, for snappy, in which each block begins with the size that it unpacks to."""
    packed = memoryview(data)
    blocks = list(_blocks(packed))
    if sum(map(_size, blocks)) > MOST_BYTES:
        raise OversizedBatch(MOST_BYTES, bytes(packed))
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _blocks(packed: memoryview) -> Iterator[memoryview]:
    if packed[: len(_XERIAL)] != _XERIAL:
        yield packed
        return
    at = len(_XERIAL)
    while at < len(packed):
        begin = at + 4
        at = begin + int.from_bytes(packed[at:begin], "big")
        yield packed[begin:at]


def _size(block: memoryview) -> int:
    """The number at the beginning of `block`: seven bits a byte, the lowest first, five bytes at most."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    return size


for _batches in (DefaultRecordBatch, LegacyRecordBatch):
    vars(sys.modules[_batches.__module__]).update(
        gzip_decode=partial(stream, "gzip"),
        lz4_decode=partial(stream, "lz4"),
        zstd_decode=partial(stream, "zstd"),
        snappy_decode=snappy,
    )
