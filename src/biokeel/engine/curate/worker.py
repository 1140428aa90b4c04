"""Application 2, research zone: blocks of pseudonymised events, judged, linked and landed exactly once.

A delivery is some blocks of one pseudo partition; those that come together, of one event type, are worked on together.
Their rows (`reading`) lose their repeats, are judged and linked (`judging`), and wait in a buffer; when the buffer of
an event type is full or old, it lands as one commit in each of the type's two tables (`landing`), and only then are its
deliveries settled. The tables know how far they reach, so after an assignment each partition goes on from where
`recover` says, whatever Kafka's committed offset is. A process that dies anywhere in here costs time only:

- before the quarantine commit: nothing happened; the rows are read and judged again;
- between the two commits: what the quarantine table holds stays decided, the rest lands (`Recovered.decide`);
- after the curated commit: the rows are read again and dropped by `land`, they only rebuild the state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.batch import POSITION, PseudonymisedBatch
from biokeel.contracts.topics import EventType, event_of
from biokeel.engine.curate.judging import Judge, Judged, joined, released
from biokeel.engine.curate.landing import Landing
from biokeel.engine.curate.operating import Operator
from biokeel.engine.curate.reading import BlockReader
from biokeel.engine.curate.snapshots import SnapshotSaver
from biokeel.engine.kafka.deliveries import Partition
from biokeel.engine.kafka.topics import TopicNames
from biokeel.engine.kafka.transport import Consumption
from biokeel.engine.worker import Worker
from biokeel.errors import StoreUnavailable
from biokeel.land.columns import curated_columns
from biokeel.land.operated import as_batch, last_step
from biokeel.land.recovery import Recovered, recover
from biokeel.land.tables import EventTables
from biokeel.link.state import Snapshot, from_bytes
from biokeel.observe.metrics import Edge
from biokeel.rulebook.follow import LOOK_SECONDS
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.signatures import PublicKeys
    from biokeel.engine.curate.judging import Decided, Standings
    from biokeel.engine.curate.reading import Columns
    from biokeel.engine.kafka.deliveries import Delivery
    from biokeel.engine.kafka.topics import Events
    from biokeel.land.lake import Lake
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.rulebook.follow import FollowedBook
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

GROUP: Final = "biokeel-curate"
POLL_BLOCKS: Final = 64
"""Blocks of one poll: some 5,000 rows each where the raw side runs at full speed."""
FETCH_BYTES: Final = 8 << 20
"""All partitions together. The broker gives a message that is larger all the same."""
TAKE_BYTES: Final = 4 << 20
"""Some 50,000 blood pressures, four times as many bytes when they are read. More at a time costs no less an event, and
memory at each of a dozen steps."""
LEAST_BYTES: Final = 4 << 20
"""Some 50,000 blood pressures. Judging costs by the micro-batch where that has fewer than some 10,000 rows."""
WAIT_SECONDS: Final = 1.0
"""Rows wait much longer to land."""
TICK_SECONDS: Final = 0.25
REST_SECONDS: Final = 2.0
"""Between two ticks where nothing waits to land."""
IDLE_SECONDS: Final = 10.0
"""After this long without a delivery, snapshots are written and the participants table is made anew."""
ASSIGNMENT_SECONDS: Final = 45.0
"""How long an assignment waits for a store that is away, a last try of some 20 s not counted; Faust allows 90 s."""
RECOVERIES: Final = 8
"""Event types recovered at a time after an assignment."""


def consumption(settings: Settings, events: Events) -> Consumption:
    """What this application reads: every pseudo topic of `events`, few and big messages."""
    topics = TopicNames(settings, events).pseudo
    return Consumption(
        GROUP,
        topics,
        POLL_BLOCKS,
        FETCH_BYTES,
        headers=True,
        least_bytes=LEAST_BYTES,
        wait_seconds=WAIT_SECONDS,
        answer_bytes=FETCH_BYTES,
        take_bytes=TAKE_BYTES,
    )


class _Columns(dict[EventType, "Columns"]):
    """The columns of the curated table of each event type, made when it is first asked for."""

    def __init__(self, schemas: Mapping[EventType, EventSchema]) -> None:
        super().__init__()
        self._schemas = schemas

    def __missing__(self, event: EventType) -> Columns:
        columns = self[event] = curated_columns(self._schemas[event])
        return columns


class CurateWorker(Worker):
    """The worker of application 2."""

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        lake: Lake,
        schemas: Mapping[EventType, EventSchema],
        book: FollowedBook,
        *,
        keys: PublicKeys,
    ) -> None:
        super().__init__(settings, metrics)
        self._lake = lake
        self._schemas = schemas
        self._reader = BlockReader(lake, _Columns(schemas), metrics, settings.set_aside_blocks, keys)
        self._book = book
        self._judge = Judge(settings, self.runner, book)
        self._saver = SnapshotSaver(settings, self.runner, lake)
        self._landing = Landing(self, self._saver)
        self._recovered: dict[Partition, Recovered] = {}
        self._standings: dict[Partition, Snapshot] = {}
        self._unlinked: dict[Partition, pl.DataFrame] = {}
        """Rows that stewards' operations have landed between blocks that are read again, to be linked between them."""
        self._operator = Operator(
            settings,
            lake,
            schemas,
            book,
            landing=self._landing,
            saver=self._saver,
            standings=self._standings,
            unlinked=self._unlinked,
        )
        self._last_delivery = monotonic()
        self._news = asyncio.Event()
        """Set when something was taken."""
        self._stages = ThreadPoolExecutor(1, "stages")
        self._looks = ThreadPoolExecutor(1, "looks")

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """As every worker does; it does not return while their event type is dropped, so that no more is fetched.

        The turn is free meanwhile: the recovery wants it, and so do partitions that leave.
        """
        await super().take(deliveries)
        events = {event_of(delivery.topic) for delivery in deliveries}
        while events & set(self._landing.dropped) and not (self.stopping or self.has_failed):  # noqa: ASYNC110 - several parts change it
            await asyncio.sleep(TICK_SECONDS)

    async def process(self, event: EventType, deliveries: Sequence[Delivery]) -> None:
        """Judge and link `deliveries`, buffer them, and land the buffer if that is due."""
        self._last_delivery = monotonic()
        # While partitions leave, there is a moment in which what was handed out of them is not stale yet.
        deliveries = [delivery for delivery in deliveries if delivery.at in self._standings]
        if not deliveries:
            return
        if event in self._landing.dropped:
            _let_go(deliveries)  # what was judged before it has not landed; all of it comes again
            return
        judged = await asyncio.get_running_loop().run_in_executor(self._stages, self._judged, event, deliveries)
        _let_go(deliveries)
        if event in self._landing.dropped:
            return
        for delivery in deliveries:
            self._standings[delivery.at] = judged.standings[delivery.partition]
            self._linked_up_to(delivery.at, judged.standings[delivery.partition])
        self.runner.passed(event, Edge.REPEATED, judged.repeats)
        await self._landing.add(event, deliveries, judged)
        self._news.set()

    def _judged(self, event: EventType, deliveries: Sequence[Delivery]) -> Judged:
        """The rows of `deliveries`, judged and linked, and the standings of their partitions after them."""
        standings = {delivery.partition: self._standings[delivery.at] for delivery in deliveries}
        marks = {partition: standing.marks for partition, standing in standings.items()}
        batch = self.runner.run("blocks", self._reader.read, event, deliveries, marks)
        judged = Judged(pl.DataFrame(), pl.DataFrame(), standings, 0)
        if batch is not None:
            self.runner.passed(event, Edge.READ_PSEUDO, len(batch))
        if any(delivery.at in self._unlinked for delivery in deliveries):
            judged = self._judged_again(event, batch, standings, deliveries)
        elif batch is not None:
            judged = self._judge.judge(batch, standings, self._decided(deliveries))
        after = {each.partition: replace(judged.standings[each.partition], offset=each.last) for each in deliveries}
        return replace(judged, standings=after)

    def _judged_again(
        self,
        event: EventType,
        batch: PseudonymisedBatch | None,
        standings: dict[int, Snapshot],
        deliveries: Sequence[Delivery],
    ) -> Judged:
        """As `_judged`, where rows that operations have landed are to be linked between the blocks (None: no rows)."""
        decided = self._decided(deliveries)
        parts = [Judged(pl.DataFrame(), pl.DataFrame(), standings, 0)]
        first = {partition: standing.offset + 1 for partition, standing in standings.items()}
        rows = pl.DataFrame(schema=POSITION) if batch is None else batch.frame
        for delivery in deliveries:
            partition = delivery.partition
            mine, offset = pl.col("pseudo_partition") == partition, pl.col("pseudo_offset")
            for some in _by_place(self._unlinked.get(delivery.at), first[partition], delivery.last):
                place = int(some["pseudo_offset"][0])
                until = rows.filter(mine, offset.is_between(first[partition], place))
                parts.append(self._judge_some(event, until, parts[-1].standings, decided))
                after = self._relinked(event, some, parts[-1].standings[partition])
                parts[-1] = replace(parts[-1], standings={**parts[-1].standings, partition: after})
                first[partition] = place + 1
            rest = rows.filter(mine, offset.is_between(first[partition], delivery.last))
            parts.append(self._judge_some(event, rest, parts[-1].standings, decided))
            first[partition] = delivery.last + 1
        return joined(parts)

    def _judge_some(
        self, event: EventType, rows: pl.DataFrame, standings: Standings, decided: Mapping[int, Decided]
    ) -> Judged:
        if not rows.height:
            return Judged(pl.DataFrame(), pl.DataFrame(), standings, 0)
        return self._judge.judge(PseudonymisedBatch(event, rows), standings, decided)

    def _relinked(self, event: EventType, rows: pl.DataFrame, standing: Snapshot) -> Snapshot:
        """`standing` after `rows`, which an operation has landed behind one block."""
        limit = self.settings.remembered_events
        return released(as_batch(self._schemas[event], rows), standing, last_step(rows), limit)[1]

    def _linked_up_to(self, at: Partition, standing: Snapshot) -> None:
        """Forget which rows are to be linked of those that `standing` knows now."""
        if (rows := self._unlinked.get(at)) is None:
            return
        rest = rows.filter(pl.col("pseudo_offset") > standing.offset)
        if rest.height:
            self._unlinked[at] = rest
        else:
            del self._unlinked[at]
            self._standings[at] = replace(standing, operated=self._recovered[at].operated)

    def _decided(self, deliveries: Sequence[Delivery]) -> dict[int, Decided]:
        """By partition, how to ask what was decided about rows of `deliveries` before; left out where nothing was."""
        found = ((delivery, self._recovered[delivery.at]) for delivery in deliveries)
        return {each.partition: was.decide for each, was in found if each.first <= was.decided_up_to}

    async def run(self) -> None:
        """Tend what was judged, and follow the book of rules beside it: a book that is away holds nothing up."""
        await asyncio.gather(self._tend(), self._follow_the_book(), self._carry_out())

    async def _follow_the_book(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # In a thread of its own: a store that hangs holds up neither the stages nor the end of the process.
            await asyncio.get_running_loop().run_in_executor(self._looks, self._book.look)

    async def _carry_out(self) -> None:
        """Carry out what stewards have ordered, in small steps, between which the stream has its turn."""
        while True:
            await asyncio.sleep(TICK_SECONDS if self._operator.due() else REST_SECONDS)
            try:
                await self._operate()
            except StoreUnavailable as error:
                await self.outage.wait("an operation", error)
            else:
                self.outage.over("an operation")

    async def _operate(self) -> None:
        """One step of each operation that is due."""
        for at, operation in self._operator.due():
            if await self._operator.prepare(at, operation):
                async with self._turn:
                    if not (self.stopping or self.has_failed):
                        await self._operator.step(at)

    async def _tend(self) -> None:
        """Land what has grown old; write snapshots and refresh the participants table.

        Both when nothing arrives, and hourly where something always does.
        """
        while True:
            await self._rest()
            self.runner.metrics.beat()
            try:
                async with self._turn:
                    await self._tick()
            except StoreUnavailable as error:
                await self.outage.wait("recovering or saving", error)
            else:
                self.outage.over("recovering or saving")

    async def _rest(self) -> None:
        """Wait for the next tick: longer where nothing waits to land, but no longer than until something does."""
        if not self._landing.buffers and not self._landing.dropped:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), REST_SECONDS)
        await asyncio.sleep(TICK_SECONDS)

    async def _tick(self) -> None:
        await self._recover_dropped()
        await self._landing.land_old()
        if not self._landing.buffers and monotonic() - self._last_delivery >= IDLE_SECONDS:
            await self._landing.done()
            if self._saver.grown():
                await self._landing.run(self._saver.save_grown)
        if self._saver.aged():
            await self._landing.run(self._saver.save_aged)
            if self._saver.outdated():
                # Who reads all snapshots wants memory: no more is in use then than when nothing arrives.
                await self._landing.land_all()
                await self._landing.run(self._saver.refresh)

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

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """Wait for a landing that is under way, then drop the rest: the next owner goes on from the tables.

        Kafka's eager protocol revokes everything at once, so nothing needs to be told apart.
        """
        with self.outage.hurried():
            async with self._turn:
                await self._landing.done()
                for at in partitions & set(self._standings):
                    self.runner.metrics.forget(event_of(at.topic), at)
                self._forget()

    async def drain(self) -> None:
        """Land what is buffered."""
        self._stopping = True
        with self.outage.hurried():
            async with self._turn:
                await self._landing.land_all()

    async def _recover_dropped(self) -> None:
        """Go on from the tables with the event types whose time has come. The caller has the turn."""
        for event in [event for event, due in self._landing.dropped.items() if monotonic() >= due]:
            await self._landing.done()
            mine = {at for at in self._standings if at.topic == event.pseudo_topic}
            found = await self._landing.run(self._recover, event, mine)
            self._landing.buffers.pop(event, None)
            self._adopt(found)
            for at, recovered in found.items():
                self.ledger.rewind(at, recovered.seek_to)
            del self._landing.dropped[event]
            log.warning("Recovered %d partitions of %s from the tables.", len(found), event)

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
        events = sorted({event_of(at.topic) for at in partitions})
        with ThreadPoolExecutor(RECOVERIES, "recover") as pool:
            found = await asyncio.gather(
                *(loop.run_in_executor(pool, self._recover, event, partitions) for event in events)
            )
        return {at: recovered for of_event in found for at, recovered in of_event.items()}

    def _recover(self, event: EventType, partitions: AbstractSet[Partition]) -> dict[Partition, Recovered]:
        """Where the partitions of `event` stand; one thread an event type, as its tables want it."""
        tables = EventTables(self._lake, self._schemas[event], reached=lambda step: reached(f"curate.{step}"))
        self._landing.open(event, tables)
        mine = sorted(at for at in partitions if at.topic == event.pseudo_topic)
        self._reader.adopt(event, mine)
        return {at: recover(tables, at.partition) for at in mine}

    def _adopt(self, found: Mapping[Partition, Recovered]) -> None:
        """Go on from what was recovered."""
        for at, recovered in found.items():
            standing = _standing(recovered)
            behind = recovered.released.filter(pl.col("pseudo_offset") <= standing.offset)
            if behind.height:
                standing = self._relinked(recovered.event, behind, standing)
            self._unlinked.pop(at, None)
            if behind.height < recovered.released.height:
                self._unlinked[at] = recovered.released.filter(pl.col("pseudo_offset") > standing.offset)
            else:
                standing = replace(standing, operated=recovered.operated)
            self._standings[at] = standing
            self._saver.adopt(at, standing)
            # The bytes of a snapshot may be many; what is in them is in the standing now.
            self._recovered[at] = replace(recovered, snapshot=None, released=recovered.released.clear())

    def _forget(self) -> None:
        self._landing.forget()
        self._saver.forget()
        self._reader.forget()
        self._operator.forget()
        self._unlinked.clear()
        self._standings.clear()
        self._recovered.clear()


def _let_go(deliveries: Sequence[Delivery]) -> None:
    """Nobody reads `deliveries` any more; the ledger keeps them all the same, until they are settled or stale."""
    for delivery in deliveries:
        delivery.empty()


def _by_place(rows: pl.DataFrame | None, first: int, last: int) -> Iterator[pl.DataFrame]:
    """Those of `rows` that stand behind a block from `first` to `last`, together by block, in order."""
    if rows is not None:
        these = rows.filter(pl.col("pseudo_offset").is_between(first, last))
        yield from these.partition_by("pseudo_offset", maintain_order=True)


def _standing(recovered: Recovered) -> Snapshot:
    """The standing of a partition as its snapshot has it, just before `seek_to`."""
    return replace(from_bytes(recovered.snapshot), offset=recovered.seek_to - 1)
