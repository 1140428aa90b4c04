"""Deliveries to rows: the blocks of pseudo partitions are read and checked, and what cannot be read is put aside.

What lies aside stays aside: a replay leaves the same messages out, or the state that it rebuilds would count rows that
are in no table. See `docs/decisions/021-unreadable-blocks.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from biokeel.batch import POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import named, read_block
from biokeel.contracts.topics import event_type
from biokeel.errors import DamagedBlock, PoisonBatch
from biokeel.land.aside import Aside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.batch import Refusal
    from biokeel.contracts.topics import EventType
    from biokeel.engine.ledger import Delivery, Partition
    from biokeel.land.lake import Lake
    from biokeel.observe.metrics import WorkerMetrics

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes]]
Columns = Mapping[str, pl.DataType]


class Placed(NamedTuple):
    """Pseudo partition and offset of a message, and its rows."""

    partition: int
    offset: int
    rows: pl.DataFrame


def messages_of(delivery: Delivery) -> Iterator[tuple[int, bytes | None, Headers]]:
    """Offset, value and headers of each message of `delivery`."""
    records = delivery.records
    assert records.headers is not None, "curate asks for them, see `consumption`"
    return zip(records.offsets.tolist(), records.values, records.headers, strict=True)


def read_rows(
    event: EventType, value: bytes | None, headers: Headers, columns: Columns, refused: Refusal | None = None
) -> pl.DataFrame:
    """The rows of one block, whose fields have the types of the table's `columns`. Raises `DamagedBlock`.

    `refused`: why Kafka's batch with the block was not read, if it was not (`Records.refused`).
    """
    if refused:
        raise DamagedBlock(f"A block of {event} cannot be had: it is {refused.why}.")
    frame = read_block(event, value, headers).frame
    if wrong := [name for name, kind in frame.schema.items() if columns.get(name, kind) != kind]:
        raise DamagedBlock(f"A block of {event} mistypes {', '.join(wrong)}.")
    return frame


def blocks_of(event: EventType, blocks: Sequence[Placed]) -> PseudonymisedBatch:
    """The rows of `blocks` together, with `POSITION`.

    Blocks from before a schema had a field may stand beside newer ones: where a row has no such column it is null.
    """
    frames = [block.rows for block in blocks]
    places = np.repeat([block[:2] for block in blocks], [frame.height for frame in frames], axis=0)
    positions = (pl.Series(name, place, kind) for (name, kind), place in zip(POSITION.items(), places.T, strict=True))
    return PseudonymisedBatch(event, pl.concat(frames, how="diagonal").with_columns_seq(positions))


class BlockReader:
    """Reads the blocks of all event types; `columns` are those of their curated tables.

    More than `limit` messages aside of one partition end the worker.
    """

    def __init__(self, lake: Lake, columns: Mapping[EventType, Columns], metrics: WorkerMetrics, limit: int) -> None:
        self._columns = columns
        self._aside = Aside(lake)
        self._metrics = metrics
        self._limit = limit
        self._unreadable: dict[Partition, set[int]] = {}

    def adopt(self, event: EventType, partitions: Iterable[Partition]) -> None:
        """Find out what lies aside of `partitions` of `event`, before any of their messages is read."""
        aside = self._aside.offsets(event)
        self._unreadable |= {at: aside.get(at.partition, set()) for at in partitions}

    def forget(self) -> None:
        """The partitions leave; what lies aside is found out anew where they come back."""
        self._unreadable.clear()

    def read(self, event: EventType, deliveries: Iterable[Delivery]) -> PseudonymisedBatch | None:
        """The rows of all blocks of `deliveries`, in that order; None where no block can be read."""
        blocks = [block for delivery in deliveries for block in self._blocks(event, delivery)]
        return blocks_of(event, blocks) if blocks else None

    def _blocks(self, event: EventType, delivery: Delivery) -> Iterator[Placed]:
        unreadable = self._unreadable.setdefault(delivery.at, set())
        for offset, value, headers in messages_of(delivery):
            if offset in unreadable:
                continue
            try:
                rows = read_rows(event, value, headers, self._columns[event], delivery.records.refused)
                yield Placed(delivery.partition, offset, rows)
            except DamagedBlock as error:
                self._put_aside(delivery.at, (offset, value, headers), error)

    def _put_aside(self, at: Partition, message: tuple[int, bytes | None, Headers], error: DamagedBlock) -> None:
        """Keep a message that cannot be read, and go on without it; see `biokeel.land.aside`.

        Raises `PoisonBatch` where that would be one too many: then something writes, or reads, nothing but damage.
        """
        offset, value, headers = message
        event, unreadable = event_type(at.topic), self._unreadable[at]
        place = f"{at.topic}/{at.partition}@{offset}"
        if len(unreadable) >= self._limit:
            raise PoisonBatch(
                f"{place} cannot be read, and {len(unreadable)} messages of its partition lie aside: {error}",
                "Find who damages them (see docs/operations.md), then raise BIOKEEL_SET_ASIDE_BLOCKS to go on.",
            )
        kept = self._aside.keep(event, at.partition, offset, value or b"", why=error.what, holds=named(headers))
        unreadable.add(offset)
        self._metrics.unreadable(event)
        log.error("Put aside %s: %s", kept, error)
