"""Application 2, research zone: blocks of pseudonymised events, judged, linked and landed exactly once.

A delivery is some blocks of one pseudo partition. Its rows lose their repeats, are judged and linked, and wait in a
buffer; when the buffer of an event type is full or old, it lands as one commit in each of the type's two tables, and
only then are its deliveries settled. The tables know how far they reach, so after an assignment each partition goes on
from where `recover` says, whatever Kafka's committed offset is. A process that dies anywhere in here costs time only:

- before the quarantine commit: nothing happened; the rows are read and judged again;
- between the two commits: what the quarantine table holds stays decided, the rest lands (`Recovered.decide`);
- after the curated commit: the rows are read again and dropped by `land`, they only rebuild the state.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import polars as pl

from biokeel.batch import POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import named, read_block
from biokeel.contracts.topics import LANDED_EVENTS, event_type
from biokeel.engine.app import SESSION_SECONDS
from biokeel.engine.buffer import Buffer, Judged, Standing, joined
from biokeel.engine.ledger import Partition
from biokeel.engine.runner import count_reasons
from biokeel.engine.transport import Consumption
from biokeel.engine.worker import Worker
from biokeel.errors import CommitConflict, DamagedBlock, PoisonBatch, StoreUnavailable, describe
from biokeel.land.aside import Aside
from biokeel.land.columns import curated_columns
from biokeel.land.maintenance import refresh_participants
from biokeel.land.recovery import Recovered, recover
from biokeel.land.snapshots import Snapshots
from biokeel.land.tables import EventTables, Landed
from biokeel.link.participants import from_snapshots
from biokeel.link.repeats import IDENTITY, sent_again
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import Snapshot, from_bytes, to_bytes
from biokeel.observe.metrics import Edge
from biokeel.poison import guarded
from biokeel.reasons import Reason
from biokeel.testing.crash import reached
from biokeel.validate.stage import failed, validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from biokeel.batch import Refusal
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.engine.ledger import Delivery
    from biokeel.land.lake import Lake
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.settings import Settings
    from biokeel.validate.suites import SuiteStore

log = logging.getLogger(__name__)

T = TypeVar("T")
Decided = Callable[[pl.DataFrame], pl.Series]
"""What was decided about each row of a frame: `Recovered.decide`."""
Headers = Sequence[tuple[str, bytes]]
Columns = Mapping[str, pl.DataType]

GROUP: Final = "biokeel-curate"
POLL_BLOCKS: Final = 64
"""Blocks of one poll: some 5,000 rows each where the raw side runs at full speed."""
FETCH_BYTES: Final = 32 << 20
"""A block may be a whole message of 16 MiB; a fetch must hold some."""
LEAST_BYTES: Final = 8 << 20
"""Some 100,000 blood pressures. Judging costs by the micro-batch where that has fewer than some 10,000 rows."""
WAIT_SECONDS: Final = 1.0
"""Rows wait much longer to land."""
TICK_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 10.0
"""After this long without a delivery, snapshots are written and the participants table is made anew."""
SNAPSHOT_ROWS: Final = 4
"""Rows for each participant of a partition's last snapshot until the next one, under load. A state that grows with
every row is saved each time that it has grown fivefold, one that does not at every fourth row a participant: either
way a row pays for a bounded part of a snapshot. In a snapshot of a million a participant costs some 0.13 microseconds
of CPU, linking a row 0.2 to 0.3 (`bench/link.py`). The price: recovery may read that many rows again."""
CONFLICTS: Final = 3
"""Conflicts in a row, without a landing of the event type between them, after which the worker ends."""
CONFLICT_SECONDS: Final = SESSION_SECONDS / 2
"""Pause before partitions are recovered after a conflict. A worker that lost them without knowing it hears so from
its next heartbeat, and does not get in the way of its heir a second time."""
ASSIGNMENT_SECONDS: Final = 45.0
"""How long an assignment waits for a store that is away, a last try of some 20 s not counted; Faust allows 90 s."""
RECOVERIES: Final = 8
"""Event types recovered at a time after an assignment."""


def consumption() -> Consumption:
    """What this application reads: every pseudo topic, few and big messages."""
    topics = tuple(event.pseudo_topic for event in LANDED_EVENTS)
    return Consumption(GROUP, topics, POLL_BLOCKS, FETCH_BYTES, True, LEAST_BYTES, WAIT_SECONDS)


def messages_of(delivery: Delivery) -> Iterator[tuple[int, bytes | None, Sequence[tuple[str, bytes]]]]:
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


def blocks_of(event: EventType, partition: int, blocks: Sequence[tuple[int, pl.DataFrame]]) -> PseudonymisedBatch:
    """The rows of `blocks` (offset and rows) of one pseudo partition together, with `POSITION`.

    Blocks from before a schema had a field may stand beside newer ones: where a row has no such column it is null.
    """
    frames = [frame for _, frame in blocks]
    offsets = np.repeat([offset for offset, _ in blocks], [frame.height for frame in frames])
    rows = pl.concat(frames, how="diagonal").with_columns(
        pl.lit(partition, POSITION["pseudo_partition"]).alias("pseudo_partition"),
        pl.Series("pseudo_offset", offsets, POSITION["pseudo_offset"]),
    )
    return PseudonymisedBatch(event, rows)


class CurateWorker(Worker):
    """The worker of application 2."""

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        lake: Lake,
        schemas: Mapping[EventType, EventSchema],
        suites: SuiteStore,
    ) -> None:
        super().__init__(settings, metrics)
        self._lake = lake
        self._schemas = schemas
        self._suites = suites
        self._columns = {event: curated_columns(schema) for event, schema in schemas.items()}
        self._snapshots = Snapshots(lake)
        self._aside = Aside(lake)
        self._unreadable: dict[Partition, set[int]] = {}
        self._tables: dict[EventType, EventTables] = {}
        self._recovered: dict[Partition, Recovered] = {}
        self._standings: dict[Partition, Standing] = {}
        self._landed: dict[Partition, Standing] = {}
        self._rows_since_snapshot: dict[Partition, int] = {}
        self._in_snapshot: dict[Partition, int] = {}
        self._buffers: dict[EventType, Buffer] = {}
        self._conflicts: Counter[EventType] = Counter()
        self._to_recover: dict[EventType, float] = {}
        """Event types of which rows were dropped, and when (monotonic) to recover them; none of them lands before."""
        self._flush: asyncio.Task[None] | None = None
        self._landing_bytes = 0
        self._last_delivery = monotonic()
        self._stages = ThreadPoolExecutor(1, "stages")
        self._lander = ThreadPoolExecutor(1, "lander")

    async def process(self, delivery: Delivery) -> None:
        """Judge and link `delivery`, buffer it, and land the buffer if that is due."""
        event = event_type(delivery.topic)
        self._last_delivery = monotonic()
        if event in self._to_recover:
            return  # what was judged before it has not landed; all of it comes again
        judged = await asyncio.get_running_loop().run_in_executor(self._stages, self._judge, event, delivery)
        if event in self._to_recover:
            return
        self._standings[delivery.at] = judged.standing
        self.runner.passed(event, Edge.REPEATED, judged.repeats)
        buffer = self._buffers.setdefault(event, Buffer())
        buffer.add(delivery, judged)
        if buffer.due(self.settings):
            await self._land(event)
        await self._keep_bounds()

    async def _keep_bounds(self) -> None:
        """Land the biggest buffers, and wait for that, while all of them together hold too much.

        While the store is away this does not return, and so nothing more is taken.
        """
        while self._held() >= self.settings.held_bytes:
            if self._buffers:
                await self._land(max(self._buffers, key=lambda event: self._buffers[event].size))
            else:
                await self._landing_done()

    def _held(self) -> int:
        """Bytes that wait to land, or are landing."""
        held = self._landing_bytes + sum(buffer.size for buffer in self._buffers.values())
        self.runner.metrics.held(held)
        return held

    def _judge(self, event: EventType, delivery: Delivery) -> Judged:
        """Judge and link the rows of `delivery`; those on which that raises are quarantined (`biokeel.poison`)."""
        standing = self._standings[delivery.at]
        batch = self.runner.run("blocks", self._read, event, delivery)
        if batch is None:
            return Judged(pl.DataFrame(), pl.DataFrame(), replace(standing, offset=delivery.last), 0)
        self.runner.passed(event, Edge.READ_PSEUDO, len(batch))
        decided = self._decided(delivery)

        def advance(judged: Judged) -> Judged:
            # Only by what succeeded: whoever raises leaves marks and linking state as they were.
            nonlocal standing
            standing = judged.standing
            return judged

        def stage(first: int, end: int) -> Judged:
            return advance(self._judge_rows(batch.rows(first, end), standing, decided))

        def set_aside(row: int, error: BaseException) -> Judged:
            return advance(self._quarantine(batch.rows(row, row + 1), standing, decided, error))

        parts = guarded(stage, set_aside, len(batch), partial(_place, batch), self.settings.set_aside_events)
        return replace(joined(parts), standing=replace(standing, offset=delivery.last))

    def _read(self, event: EventType, delivery: Delivery) -> PseudonymisedBatch | None:
        """The rows of all blocks of `delivery`; None where no block can be read."""
        unreadable = self._unreadable.setdefault(delivery.at, set())
        blocks = []
        for offset, value, headers in messages_of(delivery):
            if offset in unreadable:
                continue
            try:
                rows = read_rows(event, value, headers, self._columns[event], delivery.records.refused)
                blocks.append((offset, rows))
            except DamagedBlock as error:
                self._put_aside(delivery.at, (offset, value, headers), error)
        return blocks_of(event, delivery.partition, blocks) if blocks else None

    def _put_aside(self, at: Partition, message: tuple[int, bytes | None, Headers], error: DamagedBlock) -> None:
        """Keep a message that cannot be read, and go on without it; see `biokeel.land.aside`.

        Raises `PoisonBatch` where that would be one too many: then something writes, or reads, nothing but damage.
        """
        offset, value, headers = message
        event, unreadable = event_type(at.topic), self._unreadable[at]
        place = f"{at.topic}/{at.partition}@{offset}"
        if len(unreadable) >= self.settings.set_aside_blocks:
            raise PoisonBatch(
                f"{place} cannot be read, and {len(unreadable)} messages of its partition lie aside: {error}",
                "Find who damages them (see docs/operations.md), then raise BIOKEEL_SET_ASIDE_BLOCKS to go on.",
            )
        kept = self._aside.keep(event, at.partition, offset, value or b"", why=error.what, holds=named(headers))
        unreadable.add(offset)
        self.runner.metrics.unreadable(event)
        log.error("Put aside %s: %s", kept, error)

    def _decided(self, delivery: Delivery) -> Decided | None:
        """How to ask what was decided about rows of `delivery` before; None where nothing was."""
        recovered = self._recovered[delivery.at]
        return recovered.decide if delivery.first <= recovered.decided_up_to else None

    def _judge_rows(self, batch: PseudonymisedBatch, standing: Standing, decided: Decided | None) -> Judged:
        batch, marks, repeats = self.runner.run("repeats", drop_repeats, batch, standing.marks)
        verdicts = decided(batch.frame) if decided else None
        found = self.runner.run("sent again", sent_again, batch, standing.repeats, verdicts)
        outcome = self.runner.run("validate", validate, found.rest, self._suites.current(batch.event), found.decided)
        linked, state = self.runner.run("link", link, outcome.accepted, standing.state)
        known = (linked.frame, found.withdrawals)
        window = self.runner.run("sent again", standing.repeats.after, known, self.settings.remembered_events)
        failed_rules = outcome.rejected.frame.drop(IDENTITY)
        stopped = [frame for frame in (found.aside, failed_rules) if frame.height]
        quarantined = pl.concat(stopped, how="diagonal") if stopped else failed_rules
        return Judged(
            linked.frame.drop(IDENTITY), quarantined, Standing(standing.offset, state, marks, window), repeats
        )

    def _quarantine(
        self, batch: PseudonymisedBatch, standing: Standing, decided: Decided | None, error: BaseException
    ) -> Judged:
        """What becomes of the one row of `batch`, on which `_judge_rows` raised `error`.

        Its mark moves on, so that its repeat is dropped; its person's history does not. Raises `PoisonBatch` where it
        was accepted before: then it has landed or will, and cannot be quarantined any more.
        """
        rest, marks, repeats = drop_repeats(batch, standing.marks)
        if decided and decided(rest.frame).any():
            raise PoisonBatch(
                f"{_place(batch, 0)} fails on an event that was accepted before: {describe(error)}.",
                "It cannot be quarantined, since it may have landed. Go back to the release that accepted it.",
            )
        rejected = failed(rest, self._suites.current(batch.event))
        return Judged(rest.frame.clear(), rejected.frame, replace(standing, marks=marks), repeats)

    async def _land(self, event: EventType) -> None:
        """Begin to land the buffer of `event`, when the landing before is done: one at a time."""
        await self._landing_done()
        buffer = self._buffers.pop(event)
        if event in self._to_recover or self._failure is not None:
            return  # what came before these rows has not landed: a table that took them would hide the gap for ever
        self._landing_bytes = buffer.size
        self._flush = asyncio.create_task(self._land_buffer(event, buffer))

    async def _landing_done(self) -> None:
        if self._flush is not None:
            await asyncio.wait([self._flush])

    async def _land_buffer(self, event: EventType, buffer: Buffer) -> None:
        """Land `buffer`, settle its deliveries, and save what snapshots are due.

        A store that is away is waited for. Giving up, because the partitions leave or the process ends, loses nothing:
        whoever has the partitions next reads the rows again.
        """
        try:
            landed = await self._persisted(self._write, event, buffer)
            self._conflicts.pop(event, None)
            for delivery in buffer.deliveries:
                self.settle(delivery)
            self.runner.passed(event, Edge.CURATED, landed.curated)
            self.runner.passed(event, Edge.QUARANTINED, landed.quarantined)
            self._show_versions(event, landed.curated_version, landed.quarantine_version)
            await self._save_snapshots(event, buffer)
        except CommitConflict as error:
            self._conflict(event, error)
        except StoreUnavailable as error:
            self._give_up(event, buffer, error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a task's exception would only be logged
            log.error("Failed to land %d rows of %s", buffer.rows, event)  # noqa: TRY400 - see `log_failure`
            self.fail(error)
        finally:
            self._landing_bytes = 0
            self._held()

    async def _save_snapshots(self, event: EventType, buffer: Buffer) -> None:
        try:
            await self._persisted(self._save_due, event, buffer)
        except StoreUnavailable as error:
            log.warning("A snapshot of %s is left out; who is next reads more again: %s", event, error)

    async def _persisted(self, write: Callable[[EventType, Buffer], T], event: EventType, buffer: Buffer) -> T:
        """What `write` gives, called again while the store is away. Raises `StoreUnavailable` when giving up."""
        try:
            while True:
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._lander, write, event, buffer)
                except StoreUnavailable as error:
                    await self.outage.wait("landing", error)
                    if self.outage.in_a_hurry:
                        raise
        finally:
            self.outage.over("landing")

    def _give_up(self, event: EventType, buffer: Buffer, error: StoreUnavailable) -> None:
        """Drop rows that cannot land before the partitions leave, or end where it is the process that does."""
        log.warning("%d rows of %s are dropped here and read again by who is next: %s", buffer.rows, event, error)
        if self._stopping:
            self.fail(error)
        self._to_recover[event] = monotonic()

    def _conflict(self, event: EventType, error: CommitConflict) -> None:
        """Another worker decided about rows of `event`: nothing of ours landed, and we go on from the tables.

        Until `_recover_dropped` no row of the event type is judged or landed. If the process dies meanwhile, it
        begins from the tables all the same.
        """
        self._conflicts[event] += 1
        if self._conflicts[event] > CONFLICTS:
            self.fail(error)
            return
        log.warning("%s (%d of at most %d in a row)", error, self._conflicts[event], CONFLICTS)
        self._to_recover[event] = monotonic() + CONFLICT_SECONDS

    async def _recover_dropped(self) -> None:
        """Go on from the tables with the event types whose time has come. The caller has the turn."""
        for event in [event for event, due in self._to_recover.items() if monotonic() >= due]:
            await self._landing_done()
            mine = {at for at in self._standings if at.topic == event.pseudo_topic}
            found = await asyncio.get_running_loop().run_in_executor(self._lander, self._recover, event, mine)
            self._buffers.pop(event, None)
            self._adopt(found)
            for at, recovered in found.items():
                self.ledger.rewind(at, recovered.seek_to)
            del self._to_recover[event]
            log.warning("Recovered %d partitions of %s from the tables.", len(found), event)

    def _show_versions(self, event: EventType, curated: int, quarantine: int) -> None:
        self.runner.metrics.table_version(event, "curated", curated)
        self.runner.metrics.table_version(event, "quarantine", quarantine)

    def _write(self, event: EventType, buffer: Buffer) -> Landed:
        reached("curate.before_land")
        quarantined = buffer.quarantined()
        positions = {partition: standing.offset for partition, standing in buffer.standings.items()}
        marks = {partition: standing.marks for partition, standing in buffer.standings.items()}
        landed = self.runner.run("land", self._tables[event].land, buffer.curated(), quarantined, positions, marks)
        if quarantined is not None and landed.quarantined:
            self.runner.rejected(event, {Reason(name): rows for name, rows in count_reasons(quarantined).items()})
        return landed

    def _save_due(self, event: EventType, buffer: Buffer) -> None:
        """Write snapshots of the partitions of `buffer`, which has landed, where enough came since the last ones."""
        for partition, standing in buffer.standings.items():
            at = Partition(event.pseudo_topic, partition)
            self._landed[at] = standing
            self._rows_since_snapshot[at] = self._rows_since_snapshot.get(at, 0) + buffer.rows_of[partition]
            share = self.settings.flush_rows // len(buffer.standings)
            if self._rows_since_snapshot[at] >= max(SNAPSHOT_ROWS * self._in_snapshot[at], share):
                self._save(at, standing)

    def _save(self, at: Partition, standing: Standing) -> None:
        """Write a snapshot; what it covers has landed. If the process dies in here, the snapshot before is used."""
        data = to_bytes(Snapshot(standing.offset, standing.state, standing.marks, standing.repeats))
        event = event_type(at.topic)
        self.runner.run("snapshot", self._snapshots.save, event, at.partition, standing.offset, data)
        self._rows_since_snapshot[at] = 0
        self._in_snapshot[at] = len(standing.state)
        reached("curate.after_snapshot")

    async def run(self) -> None:
        """Land what has grown old; write snapshots and refresh the participants table when nothing arrives."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.runner.metrics.beat()
            try:
                async with self._turn:
                    await self._tick()
            except StoreUnavailable as error:
                await self.outage.wait("recovering or saving", error)
            else:
                self.outage.over("recovering or saving")

    async def _tick(self) -> None:
        await self._recover_dropped()
        for event in [event for event, buffer in self._buffers.items() if buffer.due(self.settings)]:
            await self._land(event)
        if not self._buffers and monotonic() - self._last_delivery >= IDLE_SECONDS:
            await self._landing_done()
            await asyncio.get_running_loop().run_in_executor(self._lander, self._save_grown)

    def _save_grown(self) -> None:
        """Snapshots of what grew since the last ones, and then the participants table from all of them."""
        grown = [at for at, rows in self._rows_since_snapshot.items() if rows]
        for at in grown:
            self._save(at, self._landed[at])
        if grown:
            self.runner.run("participants", refresh_participants, self._lake, from_snapshots)

    async def assigned(self, partitions: AbstractSet[Partition]) -> Mapping[Partition, int]:
        """Recover every partition from the lake; the table says where each goes on.

        A store that is away is waited for, but not as long as Faust lets an assignment take.
        """
        until = monotonic() + ASSIGNMENT_SECONDS
        async with self._turn:
            try:
                whole = await self._recover_by(until, partitions)
            finally:
                self.outage.over("assignment")
            self._adopt(whole)
            return {at: recovered.seek_to for at, recovered in whole.items()}

    async def _recover_by(self, until: float, partitions: AbstractSet[Partition]) -> dict[Partition, Recovered]:
        while True:
            self._forget()
            try:
                return await self._recover_all(partitions)
            except StoreUnavailable as error:
                if monotonic() > until:
                    raise
                await self.outage.wait("assignment", error)

    async def _recover_all(self, partitions: AbstractSet[Partition]) -> dict[Partition, Recovered]:
        loop = asyncio.get_running_loop()
        events = sorted({event_type(at.topic) for at in partitions})
        with ThreadPoolExecutor(RECOVERIES, "recover") as pool:
            found = await asyncio.gather(
                *(loop.run_in_executor(pool, self._recover, event, partitions) for event in events)
            )
        return {at: recovered for of_event in found for at, recovered in of_event.items()}

    def _adopt(self, found: Mapping[Partition, Recovered]) -> None:
        """Go on from what was recovered."""
        for at, recovered in found.items():
            standing = _standing(recovered)
            self._standings[at] = standing
            self._in_snapshot[at] = len(standing.state)
            # The bytes of a snapshot may be many; what is in them is in the standing now.
            self._recovered[at] = replace(recovered, snapshot=None)
            self._landed.pop(at, None)
            self._rows_since_snapshot.pop(at, None)

    def _recover(self, event: EventType, partitions: AbstractSet[Partition]) -> dict[Partition, Recovered]:
        """Where the partitions of `event` stand; one thread an event type, as its tables want it."""
        tables = EventTables(self._lake, self._schemas[event], reached=lambda step: reached(f"curate.{step}"))
        self._tables[event] = tables
        self._show_versions(event, tables.curated.handle.version(), tables.quarantine.handle.version())
        mine = sorted(at for at in partitions if at.topic == event.pseudo_topic)
        aside = self._aside.offsets(event)
        self._unreadable |= {at: aside.get(at.partition, set()) for at in mine}
        return {at: recover(tables, at.partition) for at in mine}

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """Wait for a landing that is under way, then drop the rest: the next owner goes on from the tables.

        Kafka's eager protocol revokes everything at once, so nothing needs to be told apart.
        """
        with self.outage.hurried():
            async with self._turn:
                await self._landing_done()
                for at in partitions & set(self._standings):
                    self.runner.metrics.forget(event_type(at.topic), at.partition)
                self._forget()

    def _forget(self) -> None:
        self._tables.clear()
        self._buffers.clear()
        self._standings.clear()
        self._landed.clear()
        self._recovered.clear()
        self._rows_since_snapshot.clear()
        self._in_snapshot.clear()
        self._to_recover.clear()
        self._unreadable.clear()

    async def drain(self) -> None:
        """Land what is buffered."""
        self._stopping = True
        with self.outage.hurried():
            async with self._turn:
                for event in list(self._buffers):
                    await self._land(event)
                await self._landing_done()


def _place(batch: PseudonymisedBatch, row: int) -> str:
    """Where a row stands, for the log: positions and coordinates, which say nothing about a person."""
    at = batch.frame.select("pseudo_partition", "pseudo_offset", "stream", "raw_partition", "raw_offset").row(row)
    return "Judging at {}/{}@{} ({} {}@{})".format(batch.event.pseudo_topic, *at)


def _standing(recovered: Recovered) -> Standing:
    """The standing of a partition as its snapshot has it, just before `seek_to`."""
    snapshot = from_bytes(recovered.snapshot)
    return Standing(recovered.seek_to - 1, snapshot.state, snapshot.marks, snapshot.repeats)
