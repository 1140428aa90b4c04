"""What travels between the two workers: a block, many pseudonymised rows in one Kafka message.

A block's value is an Arrow IPC stream (lz4) with the columns of `PseudonymisedBatch`; its headers say what it holds:

| header | value |
| --- | --- |
| `biokeel-format` | version of this format, now `4` |
| `biokeel-schema` | fingerprint of the reader schema that the rows were read into |
| `biokeel-stream` | `raw`, `parking` or `quarantine` |
| `biokeel-rows` | of each source's raw partition its first and last raw offset (or release number) in here: |
| | `hospital-a/0:100-180,app-a/3:7-7` |
| `biokeel-sha256` | SHA-256 of the value: polars panics on some damaged streams, so damage is found first |
| `biokeel-signature` | the vault zone's, over the others and the block's place (`biokeel.contracts.signatures`) |

A block whose headers are signed and whose value has another digest was ours and is damaged; anything else that is not
signed may be anybody's.

The rows of one raw partition stand together in a block, with increasing offsets. Nothing in a header says anything
about a person.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc

from biokeel.batch import (
    COORDINATES,
    ENVELOPE,
    STREAM_PARKING,
    STREAM_QUARANTINE,
    STREAM_RAW,
    PseudonymisedBatch,
    RawPartition,
    run_starts,
)
from biokeel.contracts.signatures import HEADER_SIGNATURE
from biokeel.errors import ContractError, DamagedBlock, UnsignedBlock
from biokeel.poison import may_be_poison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from biokeel.contracts.signatures import PublicKeys, Signer
    from biokeel.contracts.topics import EventType

FORMAT: Final = "4"
MAX_BLOCK_BYTES: Final = 12 << 20
"""A block above this is cut in two; topics take messages up to 16 MiB, headers and batch overhead included."""

HEADER_FORMAT: Final = "biokeel-format"
HEADER_SCHEMA: Final = "biokeel-schema"
HEADER_STREAM: Final = "biokeel-stream"
HEADER_ROWS: Final = "biokeel-rows"
HEADER_DIGEST: Final = "biokeel-sha256"

_WRITE: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_NEEDED: Final = {**ENVELOPE, **COORDINATES}
NEVER_NULL: Final = frozenset({"participant", "event_id", "source_id", "occurred_at", *COORDINATES})
"""Columns without which a row can neither land nor be quarantined."""
_ORIGIN: Final = ("source_id", "raw_partition")
_STREAMS: Final = frozenset({STREAM_RAW, STREAM_PARKING, STREAM_QUARANTINE})
_SPAN: Final = r"([a-z0-9-]{1,40})/([0-9]{1,9}):([0-9]{1,18})-([0-9]{1,18})"
_EACH_SPAN: Final = re.compile(_SPAN)
_SPANS: Final = re.compile(f"{_SPAN}(?:,{_SPAN})*")


@dataclass(frozen=True, slots=True)
class Block:
    """One message of a pseudo topic: the partition it belongs to, its bytes and its headers."""

    partition: int
    value: bytes
    headers: list[tuple[str, bytes]]

    def __repr__(self) -> str:
        return f"Block(partition={self.partition}, {len(self.value)} bytes)"


def split_blocks(batch: PseudonymisedBatch, partitions: int, fingerprint: str, signer: Signer) -> list[Block]:
    """One block (more, if it would outgrow a message) for each pseudo partition that has rows.

    A row goes to partition `participant % partitions`; within a partition rows keep their order, and blocks of one
    partition stand in the order in which they must be produced. `fingerprint` is the reader schema's. Raises
    `ContractError` if the rows are of several streams, or those of a raw partition do not stand together. Each block is
    signed for its place.
    """
    frame = batch.frame
    if not frame.height:
        return []
    starts = run_starts(frame.select(_ORIGIN))
    if frame["stream"].n_unique() != 1 or frame[starts].select(_ORIGIN).n_unique() != len(starts):
        raise ContractError(
            f"A batch of {batch.event} mixes streams or raw partitions.",
            "Make blocks of each stream apart, and let the rows of a raw partition stand together.",
        )
    target = (frame["participant"] % partitions).to_numpy()
    order = np.argsort(target, kind="stable")
    ends = np.searchsorted(target[order], np.arange(partitions + 1))
    ordered = frame[order]
    return [
        _signed(batch.event, block, signer)
        for partition in range(partitions)
        for block in _blocks(ordered[int(ends[partition]) : int(ends[partition + 1])], partition, fingerprint)
    ]


class Span(NamedTuple):
    """Rows of one raw partition of `source`, from offset `first` to `last`."""

    source: str
    partition: int
    first: int
    last: int

    @property
    def origin(self) -> RawPartition:
        """The raw partition."""
        return RawPartition(self.source, self.partition)

    def __str__(self) -> str:
        return f"{self.source}/{self.partition}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Named:
    """What the headers of a block say that it holds."""

    stream: str
    spans: tuple[Span, ...]

    @property
    def rows(self) -> str:
        """The spans as the header has them."""
        return ",".join(map(str, self.spans))


def named(headers: Sequence[tuple[str, bytes]]) -> Named | None:
    """What `headers` say, None where they are not a block's. Believe it only where the headers are signed."""
    known = dict(headers)
    stream, rows = ((known.get(name) or b"").decode("ascii", "replace") for name in (HEADER_STREAM, HEADER_ROWS))
    if HEADER_FORMAT not in known or stream not in _STREAMS or not _SPANS.fullmatch(rows):
        return None
    return Named(stream, tuple(Span(source, *map(int, numbers)) for source, *numbers in _EACH_SPAN.findall(rows)))


def read_block(
    event: EventType, partition: int, value: bytes | None, headers: Sequence[tuple[str, bytes]], keys: PublicKeys
) -> PseudonymisedBatch:
    """The rows of a block that stands in pseudo partition `partition` of `event`, without `POSITION`.

    Raises `UnsignedBlock` if none of `keys` has signed it for that place; then nothing of it was looked at. Raises
    `DamagedBlock` if it is malformed all the same, and `ContractError` if it has another format: that is no damage, and
    another release can read it.
    """
    known = dict(headers)
    if not keys.have_signed(event.pseudo_topic, partition, known):
        raise UnsignedBlock(f"A message in the topic of {event} is not signed by the vault zone for its place.")
    if known.get(HEADER_FORMAT) != FORMAT.encode():
        raise ContractError(
            f"A block of {event} has another format than {FORMAT}.",
            "Run both workers from one release, and update curate before pseudonymise.",
        )
    if value is None or known.get(HEADER_DIGEST) != _digest(value):
        raise DamagedBlock(f"A block of {event} is damaged: its digest does not match its bytes.")
    try:
        frame = pl.read_ipc_stream(io.BytesIO(value))
    except BaseException as error:
        if not isinstance(error, OSError) and not may_be_poison(error):
            raise
        raise DamagedBlock(f"A block of {event} is no Arrow stream ({type(error).__name__}).") from None
    there = frame.schema
    wrong = [
        name
        for name, dtype in _NEEDED.items()
        if there.get(name) != dtype or (name in NEVER_NULL and frame[name].null_count())
    ]
    if wrong or not frame.height:
        raise DamagedBlock(f"A block of {event} has no rows, or lacks or mistypes {', '.join(wrong) or 'nothing'}.")
    if any(known.get(name) != value for name, value in _describe(frame).items()):
        raise DamagedBlock(f"The rows of a block of {event} are not those that its headers name.")
    return PseudonymisedBatch(event, frame)


def _blocks(rows: pl.DataFrame, partition: int, fingerprint: str) -> Iterator[Block]:
    if not rows.height:
        return
    buffer = io.BytesIO()
    batch = pa.RecordBatch.from_arrays([_own_bytes(column) for column in rows], rows.columns)
    with pa.ipc.new_stream(buffer, batch.schema, options=_WRITE) as writer:
        writer.write_batch(batch)
    if buffer.tell() > MAX_BLOCK_BYTES and rows.height > 1:
        yield from _blocks(rows[: rows.height // 2], partition, fingerprint)
        yield from _blocks(rows[rows.height // 2 :], partition, fingerprint)
        return
    value = buffer.getvalue()
    headers = {
        HEADER_FORMAT: FORMAT.encode(),
        HEADER_SCHEMA: fingerprint.encode(),
        **_describe(rows),
        HEADER_DIGEST: _digest(value),
    }
    yield Block(partition, value, list(headers.items()))


def _signed(event: EventType, block: Block, signer: Signer) -> Block:
    """`block` with the signature of its headers, which hold the digest of its bytes."""
    signature = signer.sign(event.pseudo_topic, block.partition, dict(block.headers))
    return replace(block, headers=[*block.headers, (HEADER_SIGNATURE, signature)])


def _own_bytes(column: pl.Series) -> pa.Array[Any]:
    """`column` in a form that is written with no byte but its own.

    polars' strings are views of memory that they share: those of a filtered or sliced column lie among those of the
    rows that were left out, and so do the items of lists; all of it would be written. Left out are rows that were
    stopped before the wall.
    """
    if column.dtype.is_nested():
        return column.to_arrow(compat_level=pl.CompatLevel.oldest()).take(np.arange(len(column)))
    views = column.to_arrow(compat_level=pl.CompatLevel.newest())
    # Short strings stand in the views themselves. Those are smaller than offsets when they are compressed.
    if column.dtype == pl.String and any(buffer.size for buffer in views.buffers()[2:] if buffer is not None):
        return column.to_arrow(compat_level=pl.CompatLevel.oldest())
    return views


def _digest(value: bytes) -> bytes:
    return sha256(value).hexdigest().encode()


def _describe(rows: pl.DataFrame) -> dict[str, bytes]:
    """What the headers say about the rows."""
    offsets = rows["raw_offset"].to_numpy()
    starts = run_starts(rows.select(_ORIGIN))
    ends = np.append(starts[1:], len(offsets)) - 1
    sources, partitions = (rows[name].gather(starts).to_list() for name in _ORIGIN)
    spans = map(Span, sources, partitions, offsets[starts].tolist(), offsets[ends].tolist())
    return {HEADER_STREAM: str(rows["stream"][0]).encode(), HEADER_ROWS: ",".join(map(str, spans)).encode()}
