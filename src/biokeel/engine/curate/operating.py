"""Stewards' operations, carried out by the worker of each pseudo partition while events flow.

An operation is done in a partition step by step (`biokeel.land.operated`), each of which is one commit of at most
`CHUNK_ROWS` rows:

1. The next chunk of candidates is looked at and judged, beside the stream (`biokeel.rulebook.reverdict`).
   *Crash after it*: nothing has happened.
2. With the worker's turn, so that nothing of the partition is taken meanwhile, what is buffered of the event type lands
   and the rows are linked after it. *Crash after it*: the same.
3. One commit to the curated table lands the rows, and moves O to this step (`EventTables.operate`). *Crash after it*:
   who recovers finds O past that of its snapshot, and links these rows where they stand among the blocks; then it goes
   on with the operation from its first candidate, and passes over those that it has moved.
4. A snapshot is saved. *Crash before it*: as above. *After it*: nothing is to be linked again.

Rows that go to quarantine are moved in step 1 already, beside the stream (`biokeel.land.moved`, which says what a crash
means), and step 3 is of no rows; rows that an undo brings back are landed as they were.

The last step has no rows, and says that the operation is done here. Operations are done in their order. One that would
move more rows than its preview counted ends before those, and the log says so: after a restore, where rows were judged
anew, or where its author's count was wrong. One that cannot be carried out (this release cannot run its version, a row
of it raises) is logged and left where it is, and with it the later ones of the partition; the stream goes on.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from biokeel.batch import STREAM_QUARANTINE, PseudonymisedBatch
from biokeel.contracts.topics import event_of
from biokeel.engine.curate.judging import released
from biokeel.errors import BiokeelError, CommitConflict, LandingError, StoreUnavailable, describe
from biokeel.land.moved import move_out, unfinished
from biokeel.land.operated import done, moved_rows, next_step, release_numbers
from biokeel.poison import may_be_poison
from biokeel.rulebook.operations import Purpose
from biokeel.rulebook.reverdict import BroughtBack, Releasable, TakenBack, Withdrawable, goes_in
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.engine.curate.landing import Landing
    from biokeel.engine.curate.snapshots import SnapshotSaver
    from biokeel.engine.kafka.deliveries import Partition
    from biokeel.land.lake import Lake
    from biokeel.land.tables import EventTables
    from biokeel.link.state import Snapshot
    from biokeel.rulebook.follow import FollowedBook
    from biokeel.rulebook.operations import Operation
    from biokeel.settings import Settings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far an operation is in a partition, in this process. `moves` is the chunk that waits to be landed, None while
    there is none; `left` are the chunks after it. `moved`: rows so far, whichever process moved them. `step` is one
    that has been done but for O, 0 for none.
    """

    operation: Operation
    left: Iterator[pl.DataFrame]
    moved: int
    moves: pl.DataFrame | None = None
    step: int = 0
    is_done: bool = False


class Operator:
    """Carries out the operations of the partitions that a worker has. `standings` and `unlinked` are the worker's."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        schemas: Mapping[EventType, EventSchema],
        book: FollowedBook,
        *,
        landing: Landing,
        saver: SnapshotSaver,
        standings: dict[Partition, Snapshot],
        unlinked: Mapping[Partition, pl.DataFrame],
    ) -> None:
        self._settings = settings
        self._lake = lake
        self._schemas = schemas
        self._book = book
        self._landing = landing
        self._saver = saver
        self._standings = standings
        self._unlinked = unlinked
        self._progress: dict[Partition, _Progress] = {}
        self._stalled: dict[Partition, int] = {}
        self._thread = ThreadPoolExecutor(1, "operations")

    def forget(self) -> None:
        """The partitions leave; whoever has them next goes on from the tables."""
        self._progress.clear()
        self._stalled.clear()

    def due(self) -> list[tuple[Partition, Operation]]:
        """The partitions in which an operation is to be carried out, with the first that is not done."""
        return [(at, found) for at in self._standings if (found := self._next(at)) is not None]

    async def prepare(self, at: Partition, operation: Operation) -> bool:
        """Step 1; whether there is something to land, or to note. Without the turn. Raises `StoreUnavailable`."""
        progress = self._progress.get(at)
        if progress is None or progress.operation.number != operation.number:
            progress = self._progress[at] = _Progress(operation, iter(()), -1)
        if progress.moves is not None or progress.step or progress.is_done:
            return True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._look, at, progress)
        except CommitConflict as error:
            if self._progress.pop(at, None) is progress:
                self._landing.conflict(event_of(at.topic), error)
            return False
        except BaseException as error:
            if self._progress.pop(at, None) is not progress:
                return False  # the partition has left meanwhile, and whatever belongs to it
            if isinstance(error, StoreUnavailable) or not (may_be_poison(error) or isinstance(error, BiokeelError)):
                raise
            self._stall(at, operation, error)
            return False
        return self._progress.get(at) is progress

    async def step(self, at: Partition) -> None:
        """Steps 2 to 4 of what is prepared. The caller has the turn. Raises `StoreUnavailable`; ask again then."""
        progress, event = self._progress.get(at), event_of(at.topic)
        if progress is None or at not in self._standings:
            return
        if event in self._landing.buffers:
            await self._landing.land(event)
        await self._landing.done()
        standing = self._standings.get(at)
        if event in self._landing.dropped or standing is None:
            return
        tables = self._landing.tables[event]
        if at in self._unlinked or standing.offset != tables.landed(at.partition):
            return  # the partition is read again up to where its tables are; it is asked again then
        try:
            await self._landing.run(partial(self._land, at, progress, standing, tables))
        except CommitConflict as error:
            self._progress.pop(at, None)
            self._landing.conflict(event, error)
        except BaseException as error:
            self._progress.pop(at, None)
            if not may_be_poison(error):
                raise
            self._stall(at, progress.operation, error)

    def _next(self, at: Partition) -> Operation | None:
        event = event_of(at.topic)
        tables = self._landing.tables.get(event)
        if tables is None or at in self._stalled or event in self._landing.dropped:
            return None
        has = tables.operated(at.partition)
        return next((each for each in self._book.operations(event) if done(each.number) > has), None)

    def _look(self, at: Partition, progress: _Progress) -> None:
        """Find the next chunk with anything to move; where there is none, the operation is done."""
        event, request, number = event_of(at.topic), progress.operation.requested, progress.operation.number
        schema = self._schemas[event]
        if progress.moved < 0:
            progress.step = unfinished(self._lake, schema, at.partition, _reached) or 0
            if progress.step:
                return
            progress.moved = moved_rows(self._lake, schema, at.partition, number)
            progress.left = self._chunks(at, progress.operation)
        for moves in progress.left:
            most = request.rows.get(str(at.partition), 0)
            if progress.moved + moves.height > most:
                log.error(
                    "operation %d of %s ends in partition %d: it would move more than the %d rows that its preview"
                    " counted there. Order another one: a preview shows what that would move now.",
                    number,
                    event,
                    at.partition,
                    most,
                )
                break
            if not moves.height:
                continue
            if goes_in(self._book.operations(event), request):
                progress.moves = moves
                return
            known = self._landing.tables[event].operated(at.partition)
            step = next_step(known, number)
            move_out(self._lake, schema, at.partition, moves, steps=(known, step), reached=_reached)
            progress.moved += moves.height
            progress.step = step
            log.info("operation %d of %s: %d rows moved out of partition %d", number, event, moves.height, at.partition)
            return
        progress.is_done = True

    def _chunks(self, at: Partition, operation: Operation) -> Iterator[pl.DataFrame]:
        event, request = event_of(at.topic), operation.requested
        lake, schema, number = self._lake, self._schemas[event], operation.number
        if request.purpose is Purpose.UNDO:
            back = BroughtBack if goes_in(self._book.operations(event), request) else TakenBack
            return (chunk.moves for chunk in back(lake, schema, request, number).chunks(at.partition))
        suite = self._book.version(event, request.version)
        if suite is None:
            raise LandingError(
                f"Version {request.version} of {event}, by which it judges, is none that this release can run.",
                f"See biokeel suite history {event}.",
            )
        kind = Releasable if request.purpose is Purpose.RELEASE else Withdrawable
        judged = kind(lake, schema, request, number, suite=suite, limit=self._settings.set_aside_events)
        return (chunk.moves for chunk in judged.chunks(at.partition))

    def _land(self, at: Partition, progress: _Progress, standing: Snapshot, tables: EventTables) -> None:
        """Steps 2 to 4, at a boundary: all that was taken of the partition has landed."""
        event, number = event_of(at.topic), progress.operation.number
        step = done(number) if progress.is_done else progress.step or next_step(tables.operated(at.partition), number)
        moves = progress.moves
        if moves is None or progress.operation.requested.purpose is Purpose.UNDO:
            # What comes back had been linked when it landed first.
            linked, after = moves, replace(standing, operated=step)
        else:
            rows = PseudonymisedBatch(event, released_as(moves, at.partition, standing.offset, step))
            linked, after = released(rows, standing, step, self._settings.remembered_events)
        reached("curate.operation.linked")
        tables.operate(at.partition, linked, step)
        self._standings[at] = after
        if moves is not None:
            progress.moved += moves.height
            progress.moves = None
            log.info("operation %d of %s: %d rows landed in partition %d", number, event, moves.height, at.partition)
        elif progress.step:
            progress.step = 0
        else:
            self._progress.pop(at, None)
            log.info("operation %d of %s is done in partition %d", number, event, at.partition)
        try:
            self._saver.save(at, after)
        except StoreUnavailable as error:
            log.warning("A snapshot of %s is left out; who is next links these rows again: %s", event, error)

    def _stall(self, at: Partition, operation: Operation, error: BaseException) -> None:
        self._stalled[at] = operation.number
        what = str(error) if isinstance(error, BiokeelError) else describe(error)
        log.error("operation %d of %s stands still in %s: %s", operation.number, event_of(at.topic), at, what)


def _reached(step: str) -> None:
    reached(f"curate.{step}")


def released_as(moves: pl.DataFrame, partition: int, offset: int, step: int) -> pl.DataFrame:
    """`moves` with the coordinates under which `step` lands them after the block at `offset`."""
    return moves.with_columns(
        pl.lit(STREAM_QUARANTINE).alias("stream"),
        pl.lit(partition, pl.Int32).alias("raw_partition"),
        release_numbers(step, moves.height).alias("raw_offset"),
        pl.lit(offset, pl.Int64).alias("pseudo_offset"),
    )
