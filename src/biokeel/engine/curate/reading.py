"""Deliveries to rows: the blocks of pseudo partitions are read and checked, and what cannot be read is put aside.

What lies aside stays aside: a replay leaves the same messages out, or the state that it rebuilds would count rows that
are in no table. See `docs/decisions/021-unreadable-blocks.md`, and for messages that the vault zone did not sign
`docs/decisions/026-signed-blocks.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from biokeel.batch import POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import named, read_block
from biokeel.contracts.topics import event_of
from biokeel.errors import ContractError, DamagedBlock, PoisonBatch, UnsignedBlock
from biokeel.land.aside import Aside, Offsets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.batch import Refusal
    from biokeel.contracts.blocks import Named
    from biokeel.contracts.signatures import PublicKeys
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.deliveries import Delivery, Partition
    from biokeel.land.lake import Lake
    from biokeel.link.state import Marks
    from biokeel.observe.metrics import WorkerMetrics

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes]]
Columns = Mapping[str, pl.DataType]
Message = tuple[int, bytes | None, Headers]
"""Offset, value and headers."""

KEPT_UNSIGNED: Final = 100
"""Unsigned messages of one pseudo partition that are put aside one by one; of more there is a count and a line in the
log. Whoever may write into the topic makes as many as he likes, and each would be an object in the store."""


class Placed(NamedTuple):
    """Pseudo partition and offset of a message, and its rows."""

    partition: int
    offset: int
    rows: pl.DataFrame


def messages_of(delivery: Delivery) -> Iterator[Message]:
    """The messages of `delivery`."""
    records = delivery.records
    assert records.headers is not None, "curate asks for them, see `consumption`"
    return zip(records.offsets.tolist(), records.values, records.headers, strict=True)


def read_rows(
    event: EventType,
    partition: int,
    message: Message,
    columns: Columns,
    keys: PublicKeys,
    *,
    refused: Refusal | None = None,
) -> pl.DataFrame:
    """The rows of one block, whose fields have the types of the table's `columns`.

    `refused`: why Kafka's batch with the block was not read, if it was not (`Records.refused`). Raises as `read_block`
    does; a message that was not read is signed by nobody.
    """
    if refused:
        raise UnsignedBlock(f"A message in the topic of {event} cannot be had: it is {refused.why}.")
    _, value, headers = message
    frame = read_block(event, partition, value, headers, keys).frame
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
    """Reads the blocks of all event types; `columns` are those of their curated tables, `keys` what signs blocks.

    More than `limit` damaged blocks of one partition end the worker. What anybody can make who may write into the topic
    never does: messages that are not signed, and signed ones that repeat what was read before.
    """

    def __init__(
        self, lake: Lake, columns: Mapping[EventType, Columns], metrics: WorkerMetrics, limit: int, keys: PublicKeys
    ) -> None:
        self._columns = columns
        self._aside = Aside(lake)
        self._metrics = metrics
        self._limit = limit
        self._keys = keys
        self._left_out: dict[Partition, Offsets] = {}

    def adopt(self, event: EventType, partitions: Iterable[Partition]) -> None:
        """Find out what lies aside of `partitions` of `event`, before any of their messages is read."""
        aside = self._aside.offsets(event)
        self._left_out |= {at: aside.get(at.partition, Offsets()) for at in partitions}

    def forget(self) -> None:
        """The partitions leave; what lies aside is found out anew where they come back."""
        self._left_out.clear()

    def read(
        self, event: EventType, deliveries: Iterable[Delivery], marks: Mapping[int, Marks]
    ) -> PseudonymisedBatch | None:
        """The rows of all blocks of `deliveries`, in that order; None where no block can be read.

        `marks`: by pseudo partition, how far the rows before `deliveries` reach.
        """
        blocks = [
            block for delivery in deliveries for block in self._blocks(event, delivery, marks[delivery.partition])
        ]
        return blocks_of(event, blocks) if blocks else None

    def _blocks(self, event: EventType, delivery: Delivery, marks: Marks) -> Iterator[Placed]:
        at, reached, unkept = delivery.at, dict(marks), 0
        left_out = self._left_out.setdefault(at, Offsets())
        for message in messages_of(delivery):
            offset, _, headers = message
            if offset in left_out:
                continue
            try:
                refused = delivery.records.refused
                rows = read_rows(event, at.partition, message, self._columns[event], self._keys, refused=refused)
            except ContractError as error:
                # Of signed headers that name rows which were here before, somebody may have made a copy.
                if isinstance(error, UnsignedBlock) or _is_repeat(named(headers), reached):
                    unkept += not self._leave_out(at, message, error)
                elif isinstance(error, DamagedBlock):
                    self._put_aside(at, message, error, named(headers))
                else:
                    raise
                continue
            _advance(reached, named(headers))
            yield Placed(at.partition, offset, rows)
        if unkept:
            log.error(
                "%d more messages of %s/%d up to offset %d are not from the vault zone: left out, not kept",
                unkept,
                at.topic,
                at.partition,
                delivery.last,
            )

    def _leave_out(self, at: Partition, message: Message, error: ContractError) -> bool:
        """Go on without a message that may be anybody's; whether it was kept (`KEPT_UNSIGNED`)."""
        offset, value, _ = message
        event, unsigned = event_of(at.topic), self._left_out[at].unsigned
        self._metrics.unsigned(event)
        if len(unsigned) >= KEPT_UNSIGNED:
            return False
        kept = self._aside.keep(event, at.partition, offset, value or b"", why=error.what, holds=None)
        unsigned.add(offset)
        log.error("Left out %s: %s", kept, error)
        return True

    def _put_aside(self, at: Partition, message: Message, error: DamagedBlock, holds: Named | None) -> None:
        """Keep a block that cannot be read, and go on without it; see `biokeel.land.aside`.

        Raises `PoisonBatch` where that would be one too many: then something writes, or reads, nothing but damage.
        """
        offset, value, _ = message
        event, damaged = event_of(at.topic), self._left_out[at].damaged
        place = f"{at.topic}/{at.partition}@{offset}"
        if len(damaged) >= self._limit:
            raise PoisonBatch(
                f"{place} cannot be read, and {len(damaged)} blocks of its partition lie aside: {error}",
                "Find who damages them (see docs/operations.md), then raise BIOKEEL_SET_ASIDE_BLOCKS to go on.",
            )
        kept = self._aside.keep(event, at.partition, offset, value or b"", why=error.what, holds=holds)
        damaged.add(offset)
        self._metrics.unreadable(event)
        log.error("Put aside %s: %s", kept, error)


def _is_repeat(holds: Named | None, reached: Marks) -> bool:
    """Whether all rows of a block are ones that were here before."""
    return holds is not None and all(span.last <= reached.get((holds.stream, *span.origin), -1) for span in holds.spans)


def _advance(reached: Marks, holds: Named | None) -> None:
    """Note that the rows of a block were here."""
    if holds is not None:
        for span in holds.spans:
            at = (holds.stream, *span.origin)
            reached[at] = max(span.last, reached.get(at, -1))
